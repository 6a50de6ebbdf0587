"""A real box on loop devices with a simulated fleet: configured, filled, and judged."""

import argparse
import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edged.archive.layout import utc
from edged.cli.client import DaemonAbsent, ask
from edged.model import SegmentSealed
from simulators.camera import Camera
from simulators.fleet import Fleet
from simulators.judge import Frame, check_gapless, read_frames
from tests.box import Box
from tests.disks.loop import MIB

CAMERA = """
[[camera]]
id = "{id}"
url = "{url}"
volume = "{volume}"
priority = {priority}
login = {{ username = "admin", password = "secret" }}
"""
COMMON = """
[discovery]
enabled = false
[retention]
sweep_every = "1s"
"""
RESERVE = 20 * MIB


class DiskBox(Box):
    """A box whose volume v1 is the disk mounted at `folder`/v1. Cameras are given as (camera, volume, priority)."""

    def __init__(
        self,
        folder: Path,
        cameras: Iterable[tuple[Camera, str, int]],
        *,
        more_volumes: Mapping[str, Path] | None = None,
    ) -> None:
        extra = COMMON
        self.paths = {"v1": folder / "v1", **(more_volumes or {})}
        for name, path in list(self.paths.items())[1:]:
            path.mkdir(parents=True, exist_ok=True)
            extra += f'\n[[volume]]\nid = "{name}"\npath = "{path}"\nreserve = "1MiB"\n'
        for camera, volume, priority in cameras:
            extra += CAMERA.format(id=camera.name, url=camera.rtsp_url, volume=volume, priority=priority)
        super().__init__(folder, extra)
        text = self.config.read_text().replace('reserve = "1MiB"', f'reserve = "{RESERVE // MIB}MiB"', 1)
        self.config.write_text(text)

    async def operator(self, *words: str, expect: tuple[int, ...] = (0,)) -> Any:
        """What `edged` does for an operator, off the event loop: the cameras run there, and must not wait for it."""
        return await asyncio.to_thread(self.edged, *words, expect=expect)

    async def hold(self, camera: str, *, expect: tuple[int, ...] = (0,)) -> None:
        """Everything of a camera, open-ended."""
        words = ("--from", "2020-01-01T00:00:00Z", "--case", "case-1", "--authority", "authority-1")
        await self.operator("holds", "place", camera, *words, "--document", "letter-1", expect=expect)

    def held_files(self, volume: str = "v1") -> list[Path]:
        """The second names of what is held."""
        return sorted(self.paths[volume].glob("held/*/**/*.mp4"))

    # --- what it says -----------------------------------------------------------------------------------------------

    def ask(self, path: str) -> Any:
        """What the API answers, without a process for each question; {} while nobody does."""
        try:
            return ask(argparse.Namespace(socket=str(self.run_dir / "api.sock")), "GET", path)
        except DaemonAbsent:
            return {}

    def health(self) -> Any:
        return self.ask("/v1/status")

    def told_to_people(self, *words: str) -> str:
        """What `edged` prints without --json."""
        socket = ("--socket", str(self.run_dir / "api.sock"))
        done = subprocess.run(
            [sys.executable, "-m", "edged", *words, *socket], capture_output=True, text=True, check=False
        )
        return done.stdout

    def volume_health(self, volume: str = "v1") -> Any:
        return next(one for one in self.health()["volumes"] if one["volume"] == volume)

    def recorded(self) -> set[str]:
        return {one["camera"] for one in self.ask("/v1/cameras").get("cameras", ()) if one.get("recording")}

    def outage_of(self, camera: str) -> Any:
        """The open outage of a camera, or None."""
        return next((one for one in self.ask("/v1/outages")["outages"] if one["camera"] == camera), None)

    def state_of(self, camera: str) -> tuple[str, str]:
        told = next(one for one in self.ask("/v1/cameras")["cameras"] if one["camera"] == camera)
        return told["state"], told["cause"]

    def gaps(self, camera: str) -> list[Any]:
        """Since the camera's first footage, as an operator is told them."""
        sealed = [one for path in self.paths.values() for one in self.sealed(path) if one.camera == camera]
        first = quote(utc(min(one.start_us for one in sealed)).isoformat())
        told: list[Any] = self.ask(f"/v1/cameras/{camera}/coverage?from={first}")["gaps"]
        return told

    def ledger(self, *kinds: str) -> list[Any]:
        """Entries of these kinds as the mirror on v1 has them, which is read without the controller's help."""
        found = []
        for file in sorted(self.volume.glob("ledger/*/*.ndjson")):
            found += [json.loads(line) for line in file.read_bytes().splitlines()]
        return [entry for entry in found if entry["kind"] in kinds]

    def metric(self, name: str) -> float:
        port = (self.run_dir / "metrics.port").read_text().strip()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    # --- what is on the disks ---------------------------------------------------------------------------------------

    def stored(self, camera: Camera, volume: str = "v1") -> list[Frame]:
        """The frames of one camera in recording order, from its files on one volume."""
        files = sorted(
            (self.paths[volume] / "segments" / camera.name).glob("*/*.mp4"),
            key=lambda file: (file.parent, file.name[:6], tuple(int(part) for part in file.stem.split("-")[1:])),
        )
        return [frame for file in files for frame in read_frames(file)]

    def newest(self, camera: Camera, volume: str = "v1") -> int:
        """The last frame's counter on the disk, -1 where there is none."""
        return max((frame.counter for frame in self.stored(camera, volume)), default=-1)


def check_whole(box: DiskBox, camera: Camera, volume: str) -> None:
    """Every frame the camera sent is stored, in the one session it ever had."""
    [session] = camera.stats()["sessions"]
    report = check_gapless(box.stored(camera, volume))
    assert report.ok, f"{camera.name}: {report}"
    assert (report.first, report.last) == (session["first"], session["last"]), camera.name


def all_held(box: DiskBox, camera: Camera) -> bool:
    """I2: whether every sealed segment of the held camera has its second name, of the same file."""
    sealed = {file.stat().st_ino for file in (box.volume / "segments" / camera.name).glob("*/*.mp4")}
    return bool(sealed) and sealed <= {file.stat().st_ino for file in box.held_files()}


def check_disks_and_index(box: DiskBox, before: Iterable[SegmentSealed] = ()) -> None:
    """I1, I2, I7, after an orderly end: rows, journals and files name the same segments; nothing has gone."""
    names = set()
    for path in box.paths.values():
        sealed = box.sealed(path)
        names |= {(one.camera, one.start_us, one.run, one.seq) for one in sealed}
        assert len(list(path.glob("segments/*/*/*.mp4"))) == len(sealed)
        assert not list(path.glob("segments/*/*/*.part"))
    assert box.indexed() == names
    assert {(one.camera, one.start_us, one.run, one.seq) for one in before} <= names


def names_of(fleet: Fleet) -> set[str]:
    return {camera.name for camera in fleet.cameras}
