"""Everything that touches the operating system.

Linux is proven, macOS is meant to work, Windows is an open seam. All that differs between
systems is decided here and nowhere else.

This module is loaded in the zygote, so it imports little.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import resource
import select
import signal
import socket
import sys
import time
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LINUX = sys.platform.startswith("linux")

# The real-time signal that makes a worker write down its Python stack. It is far from the
# ones that libraries take (SIGRTMIN upwards) and from SIGUSR1/2, which belong to users.
STACK_SIGNAL: int = signal.SIGRTMAX - 2 if LINUX else signal.SIGUSR2

# Makes a worker send the results that it holds back. Ignored by who has no handler for it: programs that a task starts, and workers
# that have not been set up.
RESULTS_SIGNAL: int = signal.SIGURG

# Of 1000: a worker is taken as if it held 30 % of the memory more than it does.
_OOM_SCORE = 300
_F_SETSIG = getattr(fcntl, "F_SETSIG", 10)


# ---------------------------------------------------------------- sockets and descriptors


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected stream sockets, neither inherited by programs that are executed."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def waker_pair() -> tuple[int, int]:
    """``(read, write)`` descriptors of a wake-up: a byte written makes the reader ready."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def ring(write: int) -> None:
    """Wake the reader of a waker; it is no error that it has been woken already."""
    try:
        os.write(write, b"\0")
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EBADF}:  # EBADF: it has been closed, and nobody sleeps
            raise


def silence(read: int) -> None:
    """Take all wake-ups out of a waker."""
    with contextlib.suppress(BlockingIOError):
        while len(os.read(read, 4096)) == 4096:
            pass


def duplicate_high(fd: int) -> int:
    """A copy of ``fd`` above the numbers that an executed program is given."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16)


@contextlib.contextmanager
def short_path(folder: str) -> Iterator[str]:
    """The same folder by a path that has room in the address of a socket, which may have 107 bytes."""
    if len(os.fsencode(folder)) < 100:
        yield folder
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def close_quietly(fds: Iterable[int]) -> None:
    """Close descriptors, whatever state they are in."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


# ---------------------------------------------------------------- memory


def anonymous_memory(size: int) -> int:
    """A descriptor of ``size`` bytes of shared memory without a name, so nothing can be left behind."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("manyhands", os.MFD_CLOEXEC)
    else:  # pragma: no cover - macOS
        import tempfile  # noqa: PLC0415 - 3 ms

        fd, path = tempfile.mkstemp(prefix="manyhands-")
        os.unlink(path)
    try:
        os.ftruncate(fd, size)
    except OSError:
        os.close(fd)
        raise
    return fd


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data`` to a file."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_from_start(fd: int) -> bytes:
    """All that a file holds, wherever its position is: others may share it."""
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size:
        data += os.pread(fd, size - len(data), len(data))
    return data


def map_shared(fd: int, size: int) -> mmap.mmap:
    """Map ``size`` bytes of ``fd`` so that all processes see each other's writes."""
    return mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def limit_memory(size: int) -> None:
    """Make allocations beyond ``size`` bytes of private data fail in this process.

    RLIMIT_DATA counts what the process may write for itself (heap, anonymous mappings). RLIMIT_AS would also count
    address space that is only reserved, which BLAS libraries and thread stacks do by the gigabyte.
    """
    which = resource.RLIMIT_DATA if LINUX else resource.RLIMIT_AS
    _, hard = resource.getrlimit(which)
    soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(which, (soft, hard))


# ---------------------------------------------------------------- processes


def executable_spawn(code: str, arguments: Sequence[str], fds: Mapping[int, int], env: Mapping[str, str]) -> int:
    """Start this Python on ``code`` in a process group of its own and return its pid.

    ``fds`` maps descriptor numbers there to descriptors here; all others are closed there, and
    standard input is empty. ``posix_spawn`` neither copies this process nor runs its fork handlers.
    """
    if not sys.executable:
        msg = "cannot start a process: sys.executable is not set (an embedded Python?)"
        raise OSError(errno.ENOENT, msg)
    argv = [sys.executable, *interpreter_flags(), "-P", "-c", code, *arguments]
    high = {there: duplicate_high(here) for there, here in fds.items()}
    actions: list[tuple[int, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]  # type: ignore[list-item]
    actions += [(os.POSIX_SPAWN_DUP2, here, there) for there, here in high.items()]
    try:
        return os.posix_spawn(sys.executable, argv, env, file_actions=actions, setpgroup=0, setsigmask=[], setsigdef=[signal.SIGINT])
    finally:
        close_quietly(high.values())


# Flags that are set without anybody having asked for it (the last two from Python 3.14 on), and one whose letter is known.
_USUAL = {"dont_write_bytecode", "hash_randomization", "int_max_str_digits", "thread_inherit_context", "context_aware_warnings"}
_FLAGS = set(type(sys.flags).__match_args__) - _USUAL


def interpreter_flags() -> list[str]:
    """The command-line flags with which this interpreter was started, for another one."""
    if not (sys.warnoptions or sys._xoptions or any(getattr(sys.flags, name) for name in _FLAGS)):  # noqa: SLF001 - documented
        return ["-B"] if sys.flags.dont_write_bytecode else []
    # The standard library keeps the complete rules for this; they change with every release.
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]  # noqa: PLC0415 - costs 3 ms

    flags: list[str] = _args_from_interpreter_flags()
    return flags


def kill_group(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a worker and to everything it has started; it is no error that it is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # It is gone, or has not made its group yet (the first microseconds of its life).
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    except PermissionError:  # pragma: no cover - the whole group consists of zombies (macOS)
        pass


def send_signal(pid: int, number: int) -> None:
    """Send a signal to one process; it is no error that it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def reap(pid: int) -> int | None:
    """Take the exit status of a child that has ended: an exit code, or minus a signal; None if unknown."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:  # somebody else took it (a SIGCHLD handler, os.wait())
        return None
    return os.waitstatus_to_exitcode(status)


def peek_exit(pid: int) -> tuple[bool, int | None]:
    """Whether a child has ended, and its exit status if known. It stays a zombie, so that its pid stays taken."""
    try:
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # somebody else took it (a SIGCHLD handler, os.wait())
        return True, None
    if info is None:
        return False, None
    return True, info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


def has_ended(pid: int) -> bool:
    """Whether a process has, also one that is no child of this one, and of whose end nobody has been told. False if that cannot be seen."""
    state = _state_of(pid)
    return state in {"Z", "X"} if state else os.path.isdir("/proc/self")


def await_end(pid: int, timeout: float | None) -> bool:
    """Wait until a process has ended, which need be no child of this one; False after ``timeout`` seconds.

    Raises:
        OSError: the system cannot do it (before Linux 5.3).
    """
    if not hasattr(os, "pidfd_open"):
        raise OSError(errno.ENOSYS, "waiting for a process that is no child needs pidfd_open, which this system has not")
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))
    finally:
        os.close(fd)


def is_computing(pid: int) -> bool:
    """Whether a process uses a processor, or waits for one: it is in no call that a signal would cut short. False if it cannot be seen."""
    return _state_of(pid) == "R"


def _state_of(pid: int) -> str:
    """The kernel's letter for it; empty if there is none."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].strip()[:1]


_lifeline = -1


def lifeline() -> int:
    """In a worker: the descriptor that is readable when the program has ended."""
    return _lifeline


def die_with(lifeline: int) -> None:
    """Lead a process group of its own, and have the kernel kill it when the other end of the pipe ``lifeline`` is closed.

    **Guarantee**: once this returns, SIGKILL reaches every process of the group as soon as the last holder of the
    write end is gone, also while this process sleeps, is stopped, or is inside C code that holds the GIL. Until then it reaches this
    process, if it reaches the group from which it comes: there is no moment between the two.

    A pipe whose write end closes signals whoever registered for it (``O_ASYNC``), and the signal may be chosen
    (``F_SETSIG``). The owner belongs to the open file, which forked workers share, so each opens the pipe anew.
    PR_SET_PDEATHSIG will not do: it fires when the *thread* that forked ends, and workers outlive their zygote.
    """
    global _lifeline  # noqa: PLW0603 - a process has one life
    _lifeline = lifeline
    try:
        fd = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
        _lead_group()
        fcntl.fcntl(fd, fcntl.F_SETOWN, -os.getpgrp())
    except OSError:  # no /proc, or not Linux
        _lead_group()
        _die_with_thread(lifeline)
        return
    # Closed between the fork and here: no signal will come any more, but the pipe is at its end.
    try:
        gone = os.read(fd, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _lead_group() -> None:
    with contextlib.suppress(OSError):  # it does already
        os.setpgid(0, 0)


def _die_with_thread(lifeline: int) -> None:
    import threading  # noqa: PLC0415 - only where the kernel cannot do it

    def watch() -> None:
        os.set_blocking(lifeline, True)
        os.read(lifeline, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="manyhands-lifeline", daemon=True).start()


# ---------------------------------------------------------------- what the machine says


def oom_kills() -> int:
    """How many processes of this control group the kernel has killed for memory; of the machine, where groups do not tell; 0 if unknown."""
    return _oom_kills_in(_oom_counter(int(time.monotonic() / _SAME_GROUP))) or 0


def _oom_kills_in(path: str) -> int | None:
    for line in _read(path).splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return None


_SAME_GROUP = 60  # seconds after which a process may have been put into another control group


@lru_cache(maxsize=1)
def _oom_counter(now: int) -> str:
    candidates = (*_oom_counters(_read("/proc/self/cgroup")), "/proc/vmstat")
    return next((path for path in candidates if _oom_kills_in(path) is not None), "")


def _oom_counters(groups: str) -> list[str]:
    """Where the control groups of ``/proc/self/cgroup`` count, in version 2 and in version 1. In a container the root is the own group."""
    found = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            found += [f"/sys/fs/cgroup/memory{path}/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"]
        elif not controllers:
            found += [f"/sys/fs/cgroup{path}/memory.events", "/sys/fs/cgroup/memory.events"]
    return found


def available_memory() -> int:
    """Bytes that may still be used: what the machine has free, or the control group, if that is less."""
    rows = (line.split() for line in _read("/proc/meminfo").splitlines())
    free = next((int(row[1]) << 10 for row in rows if row[0] == "MemAvailable:"), sys.maxsize)
    for line in _read("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            for group in {f"/sys/fs/cgroup{line[3:]}", "/sys/fs/cgroup"}:  # in a container the root is the own group
                most, used = _read(f"{group}/memory.max").strip(), _read(f"{group}/memory.current").strip()
                if most.isdigit() and used.isdigit():
                    free = min(free, int(most) - int(used))
    return free


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def go_first_for_memory() -> None:
    """Where memory runs out, have the kernel take this process, and those forked from it, before the parent. As browsers do it."""
    with contextlib.suppress(OSError, ValueError):
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)  # not open(): it would load a codec, in each worker
        try:
            if int(os.read(fd, 32)) < _OOM_SCORE:
                os.write(fd, b"%d" % _OOM_SCORE)
        finally:
            os.close(fd)


def describe_signal(number: int) -> str:
    """``SIGSEGV`` for 11, and so on."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
