"""Who the server runs as. PostgreSQL refuses to run as root, so root becomes somebody else first.

First choice: a user namespace in which root has another number. Nothing changes hands, files stay root's. Where
namespaces are forbidden (containers): a change to an unprivileged user that keeps the one capability of reaching files,
so that neither the folders above the data nor the installed binaries need other permissions than they have.
"""

import ctypes
import os
import pwd
from pathlib import Path
from typing import Literal

Means = Literal["none", "namespace", "drop"]

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def somebody() -> pwd.struct_passwd:
    """An ordinary user of this machine (initdb wants a name for its number). Raises LookupError where there is none."""
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if not users:
        raise LookupError("this machine knows no user but root")
    return min(users, key=lambda user: (user.pw_name != "nobody", user.pw_uid))


def namespace() -> None:
    """Move this process (one thread) into a user namespace where root is `somebody`. Raises OSError."""
    user = somebody()
    group = os.getegid()
    _checked(_libc().unshare(_CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user.pw_uid} 0 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{user.pw_gid or user.pw_uid} {group} 1", encoding="ascii")


def drop() -> None:
    """Become `somebody` for good, keeping CAP_DAC_OVERRIDE over exec. Raises OSError."""
    user = somebody()
    libc = _libc()
    os.setgroups([])
    _checked(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(KEEPCAPS)")
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    number = _SYS_CAPSET.get(os.uname().machine)
    if number is None:
        raise OSError(f"capset on {os.uname().machine} is not known here")
    _checked(libc.syscall(number, header, data), "capset")
    _checked(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0), "prctl(CAP_AMBIENT)")


def namespace_allowed() -> bool:
    """Whether this machine lets root make a user namespace; tried in a child, since there is no way back."""
    child = os.fork()
    if child == 0:
        try:
            namespace()
        except (OSError, LookupError):
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def choose(wish: str = "") -> Means:
    """How to stop being root here; `wish` overrides (tests)."""
    if os.geteuid() != 0:
        return "none"
    if wish == "drop" or (wish != "namespace" and not namespace_allowed()):
        return "drop"
    return "namespace"


def hand_over(folder: Path, means: Means) -> None:
    """Give `folder` (ours) to the user that the server will be, where it belongs to another."""
    owner, group = (somebody().pw_uid, somebody().pw_gid) if means == "drop" else (os.geteuid(), os.getegid())
    if folder.lstat().st_uid == owner:
        return
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.chown(Path(root) / name, owner, group, follow_symlinks=False)
    os.chown(folder, owner, group)


def become(means: Means) -> None:
    """Stop being root by `means`. Raises OSError, LookupError."""
    if means == "namespace":
        namespace()
    elif means == "drop":
        drop()


def end_with_parent(signal: int) -> "_EndWithParent":
    """For `preexec_fn`: the kernel sends `signal` to the child when the thread that started it ends. Linux only."""
    return _EndWithParent(signal)


class _EndWithParent:
    def __init__(self, signal: int) -> None:
        # Loaded here, before the fork: the child does nothing but the call.
        self._prctl = getattr(_libc(), "prctl", None)
        self._signal = signal
        self._parent = os.getpid()

    def __call__(self) -> None:
        if self._prctl is not None:
            self._prctl(_PR_SET_PDEATHSIG, self._signal, 0, 0, 0)
            if os.getppid() != self._parent:
                os._exit(1)
