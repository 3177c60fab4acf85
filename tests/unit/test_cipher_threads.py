"""One cipher serves many threads: the checkpointer seals in worker threads while the ledger seals in the event loop.

A compression context that two threads share crashes the process, so this runs in a process of its own.
"""

import subprocess
import sys

SEALING = """
import os, threading
from fiel.infra.ledger.keys import Cipher, key_of

cipher = Cipher(key_of(b"k" * 32))
wrong = []

def work(number):
    for size in range(400):
        data = os.urandom(50) * (size % 37 * 40 + number)
        blob = cipher.seal("checkpoint", "thread", data)
        if cipher.open("checkpoint", "thread", blob, cipher.key.id) != data:
            wrong.append(size)

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("wrong:", wrong)
"""


def test_threads_seal_and_open_side_by_side() -> None:
    done = subprocess.run([sys.executable, "-c", SEALING], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "wrong: []\n", "")
