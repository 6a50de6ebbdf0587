"""A file system that forgets what is not synced when it is told that the power is cut.

    python -m tests.powercut.mount BACKING MOUNTPOINT --control SOCKET [--size BYTES]

Needs root and /dev/fuse. Mounts what BACKING holds and prints "mounted"; runs until told to end or ended by a signal.
What is written stays in memory; BACKING is rewritten at the end: with everything after an orderly one, after a cut
with what had been synced. Mount BACKING again to see what a machine sees that is switched on again.

SOCKET takes one JSON object a line and answers with `state` as one JSON object a line (`error` if it was refused):

    {"do": "state"}                            nothing but the answer
    {"do": "cut", "seed": N or null}           cut now: from here on every call fails with EIO. With a seed, part of
                                               what was not synced survives, as on a disk that had begun to write back
    {"do": "cut_after", "steps": N, "seed":…}  cut when N more changes and syncs have been done: the moments between
                                               two steps of a program, which no timer hits
    {"do": "photograph", "into": FOLDER, "seed":…}
                                               from here on, leave in FOLDER/<steps> what a cut after each further step
                                               would have left
    {"do": "stall", "seconds": S}              answer nothing for S seconds (0 ends it)
    {"do": "fail", "errno": E}                 refuse every change with E (ENOSPC, EROFS, EIO) and go on reading; 0
                                               ends it
    {"do": "spoil", "path": P, "errno": E}     a bad sector: the file's name and size are there, reading it fails with E
                                               (0 ends it)
    {"do": "end"}                              unmount in order
"""

import argparse
import contextlib
import ctypes
import errno
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.powercut.disk import Disk
from tests.powercut.store import load, save
from tests.powercut.wire import BUFFER, STEPS, Wire, parse, refuse

_NOSUID_NODEV = 2 | 4
_DETACH = 2
_OPTIONS = "fd={fd},rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions"


class Mounted:
    """The disk in service: answers the kernel and the control socket, one thing at a time."""

    def __init__(self, backing: Path, disk: Disk) -> None:
        self._backing = backing
        self._disk = disk
        self._wire = Wire(disk, time.time_ns)
        self._steps = 0
        self._cut = False
        self._cut_us: int | None = None  # when, UTC
        self._cut_at: int | None = None  # the step at which
        self._seed: int | None = None
        self._album: Path | None = None  # where what each step would leave is photographed
        self._stalled_until = 0.0
        self.ending = False

    def serve(self, kernel: int, listener: socket.socket, wake: int) -> None:
        """Until told to end, or the file system is unmounted from outside; `wake` becomes readable on a signal."""
        talks: dict[int, socket.socket] = {}
        while not self.ending:
            stall = self._stalled_until - time.monotonic()
            watched = [listener.fileno(), wake, *talks] + ([kernel] if stall <= 0 else [])
            ready, _, _ = select.select(watched, [], [], stall if stall > 0 else None)
            for fd in ready:
                if fd == wake:
                    self.ending = True
                elif fd == kernel:
                    if not self._serve_kernel(kernel):
                        return
                elif fd == listener.fileno():
                    talk, _ = listener.accept()
                    talks[talk.fileno()] = talk
                elif not self._serve_control(talks[fd]):
                    talks.pop(fd).close()
        for talk in talks.values():
            talk.close()

    def serve_last_requests(self, kernel: int) -> None:
        """While unmounting: the kernel may still have pages to hand over."""
        while select.select([kernel], [], [], 10)[0]:
            if not self._serve_kernel(kernel):
                return

    def finish(self) -> None:
        """Leave everything in the backing folder, unless a cut has left what it does."""
        if not self._cut:
            self._disk.sync_everything()
            save(self._disk.root, self._backing)

    def _serve_kernel(self, kernel: int) -> bool:
        try:
            raw = os.read(kernel, BUFFER)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False  # unmounted
            if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):  # ENOENT: the request was interrupted
                return True
            raise
        request = parse(raw)
        answer = refuse(request, errno.EIO) if self._cut else self._wire.answer(request)
        if answer is not None:
            # The asker may be dead meanwhile: killed processes wait for nothing.
            with contextlib.suppress(FileNotFoundError):
                os.write(kernel, answer)
        if request.opcode in STEPS and not self._cut:
            self._steps += 1
            if self._album is not None:
                self._photograph(self._album / str(self._steps))
            if self._cut_at is not None and self._steps >= self._cut_at:
                self._cut_power()
        return True

    def _serve_control(self, talk: socket.socket) -> bool:
        line = talk.recv(65536)
        if not line:
            return False
        try:
            reply = self._obey(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        talk.sendall(json.dumps(reply).encode() + b"\n")
        return True

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "state":
                pass
            case "cut":
                self._seed = order.get("seed")
                if not self._cut:
                    self._cut_power()
            case "cut_after":
                self._seed = order.get("seed")
                self._cut_at = self._steps + int(order["steps"])
            case "photograph":
                self._seed = order.get("seed")
                self._album = Path(order["into"])
            case "stall":
                self._stalled_until = time.monotonic() + float(order["seconds"])
            case "fail":
                self._wire.fail_changes_with = int(order["errno"])
            case "spoil":
                self._wire.spoil(str(order["path"]), int(order["errno"]))
            case "end":
                self.ending = True
            case other:
                raise ValueError(f"no such order: {other}")
        return {
            "cut": self._cut,
            "cut_us": self._cut_us,
            "steps": self._steps,
            "unsynced_bytes": self._disk.unsynced_bytes(),
        }

    def _photograph(self, into: Path) -> None:
        into.mkdir()
        draw = None if self._seed is None else random.Random(self._seed + self._steps)
        save(self._disk.survivors(draw), into)

    def _cut_power(self) -> None:
        self._cut_us = time.time_ns() // 1000
        draw = None if self._seed is None else random.Random(self._seed)
        save(self._disk.survivors(draw), self._backing)
        self._cut = True


@contextmanager
def mounted(mountpoint: Path) -> Iterator[int]:
    """Mount; gives the descriptor that the kernel asks through. Raises OSError. Unmounting is the caller's."""
    libc = ctypes.CDLL(None, use_errno=True)
    kernel = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = _OPTIONS.format(fd=kernel).encode()
        if libc.mount(b"edged-powercut", os.fsencode(mountpoint), b"fuse", _NOSUID_NODEV, options):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(mountpoint))
        yield kernel
    finally:
        os.close(kernel)


def unmount(mountpoint: Path) -> None:
    """Detach the mount; without effect where there is none."""
    ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(mountpoint), _DETACH)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backing", type=Path)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--size", type=int, default=1 << 36, help="bytes the disk claims to have")
    arguments = parser.parse_args()
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(waker, b"!"))
    disk = Disk(arguments.size)
    load(disk, arguments.backing)
    service = Mounted(arguments.backing, disk)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        listener.bind(str(arguments.control))
        listener.listen()
        try:
            with mounted(arguments.mountpoint) as kernel:
                print("mounted", flush=True)
                try:
                    service.serve(kernel, listener, wake)
                finally:
                    # In a thread: unmounting may wait for an answer that this one has to give.
                    leaving = threading.Thread(target=unmount, args=(arguments.mountpoint,))
                    leaving.start()
                    service.serve_last_requests(kernel)
                    leaving.join(10)
        finally:
            arguments.control.unlink(missing_ok=True)
    service.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
