"""A process held on a rein: the kernel stops it before every system call that changes a disk or makes it durable, and
asks whether it may go on. Before the answer the disk can be looked at: it is what a SIGKILL here would leave, because
whatever was let go before has been done. The answer is yes, or that SIGKILL; so a cut falls between any two such calls,
of any thread.

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
from collections import deque
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
    16: ("set flags", "fd", 0),
}
_IOCTL, _SETFLAGS = 16, 0x40086602  # the only one that counts: ioctl_iflags(2), the immutable attribute
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
        self._talk.send(word.encode())
        self._told += 1
        if self._told == self._leave_after:
            os._exit(0)


def ride(
    act: Callable[[Cue], None],
    root: Path,
    *,
    before_step: Callable[[Ride], bool] = lambda ride: True,
    leave_after: int | None = None,
) -> Ride:
    """Run `act` in a process of its own, with the changes below `root` as steps.

    `before_step` is asked with the step that is about to be made as the last of the ride's, and the words up to then;
    where it says no the process is killed. With `leave_after` nothing is watched, and it ends by itself after so many
    words. Call it where no other thread runs. Raises RuntimeError where the act fails.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # a word is a message
    pid = os.fork()
    if pid == 0:
        ours.close()
        _run(act, Cue(theirs, leave_after))
    theirs.close()
    done = Ride()
    with contextlib.closing(ours), contextlib.ExitStack() as closing:
        try:
            listener: int | None = 0
            while listener == 0:
                listener = _hear(ours, done)
            if listener is not None:
                closing.callback(os.close, listener)
                _Rein(pid, root, listener, ours, done).hold(before_step)
        finally:
            _, status = os.waitpid(pid, 0)
    if not done.killed and status != 0:
        raise RuntimeError(f"the act failed after {len(done.steps)} steps: see above")
    return done


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call that waits for an answer."""

    number: int
    thread: int
    call: int
    arguments: tuple[int, ...]


class _Rein:
    """The watching side of one ride."""

    def __init__(self, pid: int, root: Path, listener: int, talk: socket.socket, done: Ride) -> None:
        self._pid = pid
        self._root = root
        self._listener = listener
        self._talk = talk
        self._done = done
        self._waiting: deque[_Asked] = deque()
        self._let_go: _Asked | None = None  # the last that was, and may still be under way

    def hold(self, before_step: Callable[[Ride], bool]) -> None:
        """Answer until the process ends."""
        while True:
            if not self._waiting:
                ready, _, _ = select.select([self._talk.fileno(), self._listener], [], [], 60)
                if not ready:
                    os.kill(self._pid, signal.SIGKILL)
                    raise RuntimeError(f"the act has not moved for a minute after {len(self._done.steps)} steps")
                if self._talk.fileno() in ready:
                    if _hear(self._talk, self._done) is None:
                        return
                    continue
                self._receive()
                continue
            asked = self._waiting.popleft()
            step = self._step_of(asked)
            if step is not None and not self._done.killed:
                self._until_done(asked.thread)
                while _hear(self._talk, self._done, wait=False) is not None:
                    pass
                self._done.steps.append(step)
                if not before_step(self._done):
                    self._done.killed = True
                    os.kill(self._pid, signal.SIGKILL)
                self._let_go = asked
            if not self._done.killed:
                with contextlib.suppress(FileNotFoundError):
                    fcntl.ioctl(self._listener, _SEND, _ANSWER.pack(asked.number, 0, 0, _GO_ON))

    def _receive(self) -> None:
        asked = bytearray(_ASKED.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, asked)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # whoever asked is dead
                return
            raise
        number, thread, _, call, _, _, *arguments = _ASKED.unpack(asked)
        self._waiting.append(_Asked(number, thread, call, tuple(arguments)))

    def _step_of(self, asked: _Asked) -> Step | None:
        try:
            return _step(asked, self._root)
        except (FileNotFoundError, ProcessLookupError):
            return None  # whoever asked is dead

    def _until_done(self, asking: int) -> None:
        """Wait for the end of the call that was let go last, where another thread than its own is `asking` now."""
        last, self._let_go = self._let_go, None
        if last is None or last.thread == asking:
            return
        told = f"{last.call} " + " ".join(f"{argument:#x}" for argument in last.arguments)
        task = Path(f"/proc/{self._pid}/task/{last.thread}/syscall")
        while not any(asked.thread == last.thread for asked in self._waiting):
            try:
                now = task.read_text()
            except (FileNotFoundError, ProcessLookupError):
                return
            if now != "running\n" and not now.startswith(told):
                return
            if select.select([self._listener], [], [], 0)[0]:
                self._receive()  # its next call, perhaps the same once more


def _hear(talk: socket.socket, done: Ride, *, wait: bool = True) -> int | None:
    """Take one word of the act into `done`. Returns the descriptor it sent, 0 where it sent none; None at its end, or
    where it has said nothing yet and there is no `wait`."""
    if not wait and not select.select([talk], [], [], 0)[0]:
        return None
    told, descriptors, _, _ = socket.recv_fds(talk, 4096, 1)
    if descriptors:
        return descriptors[0]
    if told:
        done.words.append(told.decode())
    return 0 if told else None


def _step(asked: _Asked, root: Path) -> Step | None:
    """What is about to happen; None where it is not below `root`."""
    name, kind, at = _CALLS[asked.call] if asked.call in _CALLS else ("create", "path", _OPEN_PATH[asked.call])
    if kind == "fd":
        path = os.readlink(f"/proc/{asked.thread}/fd/{asked.arguments[at]}")
    else:
        with open(f"/proc/{asked.thread}/mem", "rb", buffering=0) as memory:
            path = os.fsdecode(os.pread(memory.fileno(), 4096, asked.arguments[at]).partition(b"\0")[0])
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
    for call in _CALLS.keys() - {_IOCTL}:
        code += [(equal, 0, 1, call), (leave, 0, 0, _ASK)]
    code += [(equal, 0, 4, _IOCTL), (load, 0, 0, 16 + 8), (equal, 0, 1, _SETFLAGS)]
    code += [(leave, 0, 0, _ASK), (leave, 0, 0, _ALLOW)]
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
