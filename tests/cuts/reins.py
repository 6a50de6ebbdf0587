"""A process held on a rein: the kernel stops it before every system call that changes a disk or makes it durable, and
asks whether it may go on. The answer is yes, or SIGKILL; so a cut falls between any two such calls, of any thread.

By seccomp's user notification (seccomp_unotify(2)): no tracer, and nothing else the process does is slowed down.
"""

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# x86-64: number -> name, and which argument is the descriptor (fd) or the path that tells what it is about.
_CALLS = {
    1: ("write", "fd", 0),
    18: ("pwrite", "fd", 0),
    20: ("writev", "fd", 0),
    296: ("pwritev", "fd", 0),
    328: ("pwritev2", "fd", 0),
    74: ("fsync", "fd", 0),
    75: ("fdatasync", "fd", 0),
    77: ("ftruncate", "fd", 0),
    91: ("fchmod", "fd", 0),
    285: ("fallocate", "fd", 0),
    40: ("sendfile", "fd", 0),
    326: ("copy_file_range", "fd", 2),
    76: ("truncate", "path", 0),
    82: ("rename", "path", 1),
    264: ("rename", "path", 3),
    316: ("rename", "path", 3),
    83: ("mkdir", "path", 0),
    258: ("mkdir", "path", 1),
    84: ("rmdir", "path", 0),
    86: ("link", "path", 1),
    265: ("link", "path", 3),
    87: ("unlink", "path", 0),
    263: ("unlink", "path", 1),
}
_OPENS = {2: 1, 257: 2}  # open, openat: which argument holds the flags; told only where they create or empty a file
_OPEN_PATH = {2: 0, 257: 1}
_X86_64 = 0xC000003E
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_LISTENER_FOR_ALL_THREADS = 8 | 1 | 16  # NEW_LISTENER, TSYNC, TSYNC_ESRCH
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_ASKED = struct.Struct("<QIIiIQ6Q")
_ANSWER = struct.Struct("<QqiI")
_GO_ON = 1


def missing() -> str:
    """Why no process can be held here; "" where one can."""
    if platform.machine() != "x86_64":
        return "the table of system calls is that of x86-64"
    try:
        if "user_notif" not in Path("/proc/sys/kernel/seccomp/actions_avail").read_text():
            return "the kernel has no seccomp user notification"
    except OSError:
        return "the kernel has no seccomp"
    return ""


class Step(NamedTuple):
    """One call that was about to be made, and the file or folder it is about, below the watched root."""

    call: str
    path: str

    def __str__(self) -> str:
        return f"{self.call} {self.path}"


@dataclass(slots=True)
class Ride:
    """How far a process came: its steps in order, what it said was done, and whether it was killed on the way."""

    steps: list[Step] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    killed: bool = False


class Cue:
    """The act's side: `begin` where cuts may fall from, `told` each time something is done and has been promised."""

    def __init__(self, talk: socket.socket, leave_after: int | None) -> None:
        self._talk = talk
        self._leave_after = leave_after
        self._told = 0

    def begin(self) -> None:
        if self._leave_after == 0:
            os._exit(0)
        if self._leave_after is None:
            listener = _listen()
            socket.send_fds(self._talk, [b"#"], [listener])
            os.close(listener)

    def told(self, word: str) -> None:
        self._talk.send(word.encode() + b"\n")
        self._told += 1
        if self._told == self._leave_after:
            os._exit(0)


def ride(
    act: Callable[[Cue], None], root: Path, *, kill_before: int | None = None, leave_after: int | None = None
) -> Ride:
    """Run `act` in a process of its own, with the changes below `root` as steps counted from 1.

    It is killed before step `kill_before`; with `leave_after` nothing is counted, and it ends by itself after so many
    words. Call it where no other thread runs. Raises RuntimeError where the act fails.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _run(act, Cue(theirs, leave_after))
    theirs.close()
    done = Ride()
    listener = -1
    said = b""
    with contextlib.closing(ours):
        try:
            while True:
                watched = [ours.fileno(), listener] if listener >= 0 else [ours.fileno()]
                ready, _, _ = select.select(watched, [], [], 60)
                if not ready:
                    os.kill(pid, signal.SIGKILL)
                    raise RuntimeError(f"the act has not moved for a minute after {len(done.steps)} steps")
                if ours.fileno() in ready:
                    told, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
                    if not told:
                        break
                    listener = descriptors[0] if descriptors else listener
                    said += told
                elif _answer(listener, pid, root, done, kill_before):
                    done.killed = True
        finally:
            if listener >= 0:
                os.close(listener)
            _, status = os.waitpid(pid, 0)
    done.words = said.replace(b"#", b"").decode().split()
    if not done.killed and status != 0:
        raise RuntimeError(f"the act failed after {len(done.steps)} steps: see above")
    return done


def _answer(listener: int, pid: int, root: Path, done: Ride, kill_before: int | None) -> bool:
    """Answer one call; True where the process was killed instead."""
    asked = bytearray(_ASKED.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, asked)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):  # whoever asked is dead
            return False
        raise
    number, thread, _, call, _, _, *arguments = _ASKED.unpack(asked)
    step = _step(thread, call, arguments, root)
    if step is not None:
        done.steps.append(step)
        if len(done.steps) == kill_before:
            os.kill(pid, signal.SIGKILL)
            return True
    with contextlib.suppress(FileNotFoundError):
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(number, 0, 0, _GO_ON))
    return False


def _step(thread: int, call: int, arguments: list[int], root: Path) -> Step | None:
    """What is about to happen; None where it is not below `root`."""
    name, kind, at = _CALLS[call] if call in _CALLS else ("create", "path", _OPEN_PATH[call])
    if kind == "fd":
        path = os.readlink(f"/proc/{thread}/fd/{arguments[at]}")
    else:
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            path = os.fsdecode(os.pread(memory.fileno(), 4096, arguments[at]).partition(b"\0")[0])
    return Step(name, path.removeprefix(f"{root}/")) if path.startswith(f"{root}/") else None


def _run(act: Callable[[Cue], None], cue: Cue) -> None:
    code = 1
    try:
        act(cue)
        code = 0
    except BaseException:  # noqa: BLE001 - this process ends here, whatever it was
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _listen() -> int:
    """Have every thread of this process ask before a step; returns where the questions arrive."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program()
    text = ctypes.create_string_buffer(program, len(program))
    header = array.array("Q", [len(program) // 8, ctypes.addressof(text)])  # a short, padded, and a pointer
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "the process cannot give up new privileges")
    listener: int = libc.syscall(317, 1, _LISTENER_FOR_ALL_THREADS, ctypes.c_void_p(header.buffer_info()[0]))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses the filter")
    return listener


def _program() -> bytes:
    load, equal, has_bits, leave = 0x20, 0x15, 0x45, 0x06
    code = [(load, 0, 0, 4), (equal, 1, 0, _X86_64), (leave, 0, 0, _ALLOW), (load, 0, 0, 0)]
    for call in _CALLS:
        code += [(equal, 0, 1, call), (leave, 0, 0, _ASK)]
    for call, flags in _OPENS.items():
        code += [
            (equal, 0, 4, call),
            (load, 0, 0, 16 + 8 * flags),
            (has_bits, 0, 1, os.O_CREAT | os.O_TRUNC),
            (leave, 0, 0, _ASK),
            (leave, 0, 0, _ALLOW),
        ]
    code.append((leave, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *one) for one in code)
