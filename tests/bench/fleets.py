"""The cameras of a benchmark: simulated fleets in processes of their own, the same for every contender."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench.processes import running

_PER_FLEET = 100  # cameras in one fleet process, so that the cameras' one event loop is not what is measured


@dataclass(frozen=True, slots=True)
class Scene:
    """What the cameras film. `bitrate` as the fleet's option takes it."""

    cameras: int
    bitrate: str = "4M"
    size: str = "1920x1080"
    codec: str = "h264"
    pacing: str = "spread"  # a frame's packets over the frame interval, as cameras send them; or in a burst

    @property
    def name(self) -> str:
        return f"{self.cameras}x{self.bitrate}" + "".join(
            f"-{what}" for what, usual in ((self.codec, "h264"), (self.pacing, "spread")) if what != usual
        )

    @property
    def bits_per_second(self) -> float:
        """Of one camera."""
        return float(self.bitrate.rstrip("kM")) * {"k": 1e3, "M": 1e6}.get(self.bitrate[-1], 1)


@dataclass(frozen=True, slots=True)
class Cameras:
    """A fleet that is ready."""

    urls: list[str]
    pids: list[int]


def missing(codec: str) -> str:
    """Why the fleet cannot send this codec; "" where it can."""
    if codec == "h264":
        return ""
    command = [sys.executable, "-m", "simulators", "fleet", "--help"]
    says = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return "" if "--codec" in says else f"the simulated cameras do not send {codec}"


@contextmanager
def filming(scene: Scene) -> Iterator[Cameras]:
    """Start the scene's cameras; on an address range that other fleets of this machine do not use by default."""
    urls: list[str] = []
    pids: list[int] = []
    with ExitStack() as house:
        for number, first in enumerate(range(0, scene.cameras, _PER_FLEET)):
            cameras = min(_PER_FLEET, scene.cameras - first)
            command = [sys.executable, "-m", "simulators", "fleet", "--cameras", str(cameras)]
            command += ["--bitrate", scene.bitrate, "--size", scene.size, "--subnet", f"127.40.{number * 4}"]
            command += ["--auth", "none", "--no-onvif", "--no-multicast", "--pacing", scene.pacing]
            if scene.codec != "h264":
                command += ["--codec", scene.codec]
            [fleet] = house.enter_context(running(command, stdout=subprocess.PIPE))
            assert fleet.stdout is not None
            house.callback(fleet.stdout.close)
            card = fleet.stdout.readline()
            if not card:
                raise SystemExit(f"the simulated cameras did not start: exit code {fleet.wait(10)}")
            urls += [camera["rtsp"] for camera in json.loads(card)["cameras"]]
            pids.append(fleet.pid)
        yield Cameras(urls, pids)
