"""Run the soak: a fleet, a watched recorder, the faults as planned, an orderly end."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edged.archive import roster
from edged.archive.database import Database
from edged.archive.volumes import Volume, open_volumes
from edged.model import Situation, StreamState
from edged.record.assignment import AssignedVolume
from simulators.camera import Camera
from simulators.fleet import Fleet
from tests.recorder_kit import Site
from tests.soak.faults import Fault, plan

QUIET_S = 3.0  # before the first fault and after the last one, with everything recording
SETTLE_S = (
    90.0  # in which everything must record again after the last fault: a wrong password is retried after a minute
)
VOLUME = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`bitrate` and `fps` are those of each camera; a fault comes about every `every_s` seconds."""

    cameras: int
    seconds: float
    seed: int = 1
    every_s: float = 1.0
    bitrate: str = "100k"
    fps: int = 10
    gop: int = 10
    segment_seconds: float = 5.0
    subnet: str = "127.30.0"


@dataclass(slots=True)
class Outcome:
    """What is left to look at when a soak is over. Times in microseconds UTC."""

    options: Options
    site: Site
    index: Path
    adopted_us: int
    stopped_us: int = 0
    faults: list[Fault] = field(default_factory=list)
    before: list[dict[str, Any]] = field(default_factory=list)  # samples while all was quiet
    during: list[dict[str, Any]] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)  # what the recorder said at its end
    code: int | None = None
    errors: str = ""  # what it wrote to standard error
    cameras: list[dict[str, Any]] = field(default_factory=list)  # the fleet's account


async def soak(folder: Path, options: Options) -> Outcome:
    """Run it below `folder`. AssertionError where the cameras do not all record in the beginning or the end."""
    site, volume = await _found(folder, options)
    index = folder / "index.sqlite3"
    fleet = Fleet(
        cameras=options.cameras,
        bitrate=options.bitrate,
        fps=options.fps,
        gop=options.gop,
        size="160x128",
        subnet=options.subnet,
        seed=options.seed,
        onvif=False,
        multicast=False,
    )
    async with fleet:
        outcome = Outcome(options, site, index, _now_us())
        await _adopt(index, volume, [camera.name for camera in fleet.cameras], outcome.adopted_us)
        for camera in fleet.cameras:
            site.record(camera.name, camera.rtsp_url)
        site.assign()
        async with _recorder(site, folder) as (process, samples):
            await _all_record(site, 30.0)
            outcome.before = await _watch_quiet(samples)
            already = len(samples)
            await _rain(fleet, site, outcome)
            outcome.during = samples[already:]
            await _all_record(site, SETTLE_S)
            outcome.after = await _watch_quiet(samples)
            process.send_signal(signal.SIGTERM)
            outcome.code = await asyncio.wait_for(process.wait(), 30)
            outcome.stopped_us = _now_us()
            outcome.last = samples[-1]
        outcome.cameras = fleet.stats()["cameras"]
    outcome.errors = (folder / "recorder.log").read_text()
    return outcome


async def _found(folder: Path, options: Options) -> tuple[Site, Volume]:
    """A site whose one volume the index knows, as the controller would have made it."""
    site = Site(folder, segment_seconds=options.segment_seconds, volumes=())
    (folder / VOLUME).mkdir()
    database = Database(folder / "index.sqlite3")
    try:
        (volume,) = await database.write(open_volumes, [(VOLUME, folder / VOLUME)], _now_us())
    finally:
        database.close()
    assert not volume.fenced, volume.fenced
    site.volumes[VOLUME] = AssignedVolume(id=VOLUME, path=str(volume.path), uuid=volume.uuid)
    return site, volume


async def _adopt(index: Path, volume: Volume, cameras: list[str], at_us: int) -> None:
    database = Database(index)
    try:
        for camera in cameras:
            await database.write(
                roster.upsert_found,
                camera,
                source="static",
                situation=Situation("other"),
                at_us=at_us,
                volume=volume.no,
            )
            await database.write(roster.adopt, camera, at_us)
    finally:
        database.close()


@asynccontextmanager
async def _recorder(site: Site, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[dict[str, Any]]]]:
    """The watched recorder and its samples, which grow; killed where the block has not ended it."""
    with (folder / "recorder.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-m", "tests.soak.watched", str(site.state), str(site.runtime)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    samples: list[dict[str, Any]] = []
    assert process.stdout is not None
    reader = asyncio.create_task(_read(process.stdout, samples))
    try:
        yield process, samples
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reader


async def _read(stream: asyncio.StreamReader, samples: list[dict[str, Any]]) -> None:
    while line := await stream.readline():
        samples.append(json.loads(line))


async def _watch_quiet(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The samples of the next few seconds, in which nothing happens."""
    first = len(samples)
    deadline = time.monotonic() + 30
    while len(samples) < first + QUIET_S:
        assert time.monotonic() < deadline, "the recorder tells nothing any more"
        await asyncio.sleep(0.1)
    return samples[first:]


async def _all_record(site: Site, seconds: float) -> None:
    """Wait until every stream that is assigned has stored something since a moment ago."""
    since_us = _now_us() + 500_000

    def fresh(status: Any) -> bool:
        return len(status.streams) == len(site.streams) and all(
            stream.state is StreamState.STREAMING and (stream.committed_us or 0) > since_us for stream in status.streams
        )

    await site.status(fresh, seconds)


async def _rain(fleet: Fleet, site: Site, outcome: Outcome) -> None:
    options = outcome.options
    began = time.monotonic()
    names = [camera.name for camera in fleet.cameras]
    async with asyncio.TaskGroup() as group:
        for fault in plan(options.seed, names, options.seconds, options.every_s):
            await asyncio.sleep(max(0.0, began + fault.at_s - time.monotonic()))
            outcome.faults.append(fault)
            group.create_task(_inflict(fleet, site, fault))
        await asyncio.sleep(max(0.0, began + options.seconds - time.monotonic()))


async def _inflict(fleet: Fleet, site: Site, fault: Fault) -> None:
    """Do it, wait, undo it."""
    if fault.kind == "volume":
        identity = site.path() / "VOLUME.json"
        hidden = identity.with_name("VOLUME.away")
        identity.rename(hidden)
        await asyncio.sleep(fault.lasts_s)
        hidden.rename(identity)
        return
    camera = fleet.camera(fault.camera)
    if fault.kind == "unassign":
        stream = site.streams.pop(camera.name)
        site.assign()
        await asyncio.sleep(fault.lasts_s)
        site.streams[camera.name] = stream
        site.assign()
        return
    await _begin(camera, site, fault)
    await asyncio.sleep(fault.lasts_s)
    await _end(camera, fault)


async def _begin(camera: Camera, site: Site, fault: Fault) -> None:
    match fault.kind:
        case "unplug":
            await camera.unplug()
        case "stall":
            await camera.stall()
        case "refuse":
            await camera.refuse()
        case "password":
            await camera.change_password("another")
        case "drop":
            await camera.drop(1 + 9 * fault.draw)
        case "jump":
            await camera.jump((fault.draw - 0.5) * 100_000)
        case "move":
            await camera.move()
            site.record(camera.name, camera.rtsp_url)
            site.assign()
        case other:
            raise ValueError(f"no fault is called {other}")


async def _end(camera: Camera, fault: Fault) -> None:
    match fault.kind:
        case "unplug":
            await camera.plug()
        case "stall":
            await camera.resume()
        case "refuse":
            await camera.accept()
        case "password":
            await camera.change_password("secret")
        case "drop":
            await camera.drop(0)


def _now_us() -> int:
    return time.time_ns() // 1000
