"""The command line `fiel`: one module a group of commands, each loaded only when it is called."""

import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script. Always ends in SystemExit with the status of `interfaces`."""
    from fiel.infra.cli.app import run

    # A polite end is the same as an interrupt: what was started is stopped, what was opened is closed. A shell without
    # job control starts what it puts into the background with interrupts ignored, which would ignore both. A terminal
    # that closes is an end too, unless `nohup` was asked for; services that read their policies anew do that instead.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


__all__ = ["main"]
