"""The file system of `tests.powercut.mount` in the hands of a test: switched on, cut, and switched on again."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tests.powercut.mount import unmount

_ROOT = Path(__file__).parents[2]


def missing() -> str:
    """Why there can be no such file system here; "" where there can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if "fuse\n" not in Path("/proc/filesystems").read_text():
        return "the kernel knows no FUSE"
    return ""


class PoweredDisk:
    """Use as a context manager: mounted on the way in, unmounted on the way out, whatever happened between.

    `path` is where it is mounted, `backing` where what is durable lies while it is not.
    """

    def __init__(self, folder: Path, *, size: int = 1 << 36) -> None:
        self.backing = folder / "backing"
        self.path = folder / "disk"
        self._control = folder / "control.sock"
        self._size = size
        self._process: subprocess.Popen[str] | None = None
        for made in (self.backing, self.path):
            made.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.switch_on()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._gone()
        unmount(self.path)

    def switch_on(self) -> None:
        """Mount what is durable."""
        assert self._process is None, "it is on already"
        command = [sys.executable, "-m", "tests.powercut.mount", str(self.backing), str(self.path)]
        command += ["--control", str(self._control), "--size", str(self._size)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "mounted\n":
            raise RuntimeError(f"the file system did not mount: exit code {self._process.wait(10)}")

    def switch_off(self) -> None:
        """An orderly end: everything becomes durable."""
        self.tell("end")
        self._gone()

    def kill(self) -> None:
        """End the file system itself without a word: nothing reaches the backing folder."""
        assert self._process is not None
        self._process.kill()
        self._gone()
        unmount(self.path)
        self._control.unlink(missing_ok=True)

    def cut(self, seed: int | None = None) -> None:
        """Cut the power now; processes that use the disk get EIO and are the caller's to end, then `after_cut`."""
        assert self.tell("cut", seed=seed)["cut"]

    def cut_after(self, steps: int, seed: int | None = None) -> None:
        """Have the power cut once so many more changes and syncs are done."""
        self.tell("cut_after", steps=steps, seed=seed)

    def photograph(self, into: Path, seed: int | None = None) -> None:
        """Leave in `into`, from here on, what a cut after each further step would have left: one folder a step."""
        into.mkdir(parents=True)
        self.tell("photograph", into=str(into), seed=seed)

    def steps(self) -> int:
        """How many changes and syncs have been done."""
        found = self.tell("state")["steps"]
        assert isinstance(found, int)
        return found

    def is_cut(self) -> bool:
        return bool(self.tell("state")["cut"])

    def cut_us(self) -> int:
        """When the power was cut, microseconds UTC."""
        found = self.tell("state")["cut_us"]
        assert isinstance(found, int), "the power was not cut"
        return found

    def until_cut(self, seconds: float = 60.0) -> None:
        """Wait for a cut that was ordered. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not self.is_cut():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the disk did not come to the step of its cut within {seconds:g} s")
            time.sleep(0.01)

    def after_cut(self) -> None:
        """Unmount the dead disk, once nothing uses it any more, and mount what the cut left."""
        assert self.is_cut(), "the power was not cut"
        self.switch_off()
        self.switch_on()

    def tell(self, do: str, **more: Any) -> dict[str, Any]:
        """Send one order; returns the state. Raises ValueError where it was refused, OSError where nobody listens."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk:
            talk.settimeout(60)
            talk.connect(str(self._control))
            talk.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            reply: dict[str, Any] = json.loads(talk.recv(65536))
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply

    def _gone(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
