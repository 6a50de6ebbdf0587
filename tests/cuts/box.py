"""One box on a disk: what is prepared on it, the start that puts it right after a cut, and a picture of the outcome."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from edged.app.house import House, built, live
from edged.archive.layout import segment_path
from edged.archive.ledger import LedgerKind
from edged.base.clock import DAY, HOUR, MINUTE, SECOND, ManualClock
from edged.config import Config, load_config
from edged.law.packs import shipped_packs
from edged.model import RecorderStart, SegmentSealed
from edged.record.assignment import AssignedVolume
from edged.record.buffers import Shelf
from edged.record.disk.runs import RunCounter
from edged.record.disk.volume import VolumeWriter
from edged.retain.evidence import EVERY_S as EVIDENCE_EVERY_S
from tests.archive_kit import T0, sealed, write_journal
from tests.cuts import album

RECORDER = "box"
SET_UP_US = T0 + HOUR
ACT_US = T0 + 40 * DAY  # past every floor of what the preparation recorded, and past the grace
START_US = ACT_US + MINUTE
LIMIT_S = 60.0  # a start that takes longer hangs
BOOTED_US = T0 - DAY
REBOOTED_US = ACT_US - MINUTE
AWAITED_EVERY_S = 60.0

CONFIG = """\
[site]
id = "test-site"
jurisdiction = "{jurisdiction}"
place = "{place}"
repair_unit = "duty engineer"
superior_department = "security department"

[recorder]
id = "box"
state_dir = "{root}/state"
runtime_dir = "{run}"

[[volume]]
id = "v1"
path = "{root}/v1"
reserve = "{reserve}"

[retention]
rule_packs = "{packs}"
immutable_holds = {immutable}
keep_at_least = "{at_least}d"

[discovery]
enabled = false

[outage]
outage_after = "1h"

[metrics]
port = 0
"""
CAMERA = """
[[camera]]
id = "{camera}"
url = "rtsp://192.0.2.1/{camera}"
"""


class RestingClock(ManualClock):
    """Moves only when told to, and tells when a task has come to rest on it."""

    def __init__(self, wall_us: int) -> None:
        super().__init__(wall_us, wall_us - BOOTED_US)
        self._rests: dict[str, asyncio.Event] = {}

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._rests.setdefault(task.get_name(), asyncio.Event()).set()
        await super().sleep(seconds)

    def rest(self, task: str) -> asyncio.Event:
        """What is set when the task of that name begins to sleep, from now on."""
        begun = self._rests[task] = asyncio.Event()
        return begun


@dataclass(slots=True)
class CutBox:
    """The box below `root`, which is all that a cut leaves; its sockets and its configuration lie beside.

    What it is configured to be, and the clock it has, are set by the act, and otherwise by a preparation for itself.
    """

    folder: Path
    jurisdiction: str = "jilin"
    place: str = "listed"
    reserve: str = "1MiB"
    cameras: tuple[str, ...] = ("cam-1", "cam-2")
    at_least: int = 1  # days
    immutable: bool = False  # held files
    pack_note: str = ""  # at the end of a rule pack
    rebooted: bool = False  # since everything before the act
    decays: bool = False  # the disk: files that are not what was recorded are no fault of the act
    awaits: tuple[str, ...] = ()  # tasks that a start has to see at rest twice, besides the archive and the evidence
    indifferent: frozenset[LedgerKind] = frozenset()  # kinds of entries that differ with where the act was cut
    telling: frozenset[LedgerKind] = frozenset()  # and those that tell of this act what they do not of others

    @property
    def root(self) -> Path:
        return self.folder / "box"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def volume(self) -> Path:
        return self.root / "v1"

    @property
    def config(self) -> Config:
        packs = self.folder / "packs"
        packs.mkdir(exist_ok=True)
        for name in ("national", "jilin"):
            text = (shipped_packs() / f"{name}.toml").read_text()
            (packs / f"{name}.toml").write_text(text + self.pack_note)
        runs = self.folder / "run"
        runs.mkdir(exist_ok=True)
        wanted = {field.name: getattr(self, field.name) for field in fields(self)}
        wanted |= {"root": self.root, "run": runs, "packs": packs, "immutable": str(self.immutable).lower()}
        file = self.folder / "edged.toml"
        file.write_text(CONFIG.format(**wanted) + "".join(CAMERA.format(camera=camera) for camera in self.cameras))
        return load_config(file)

    def clock(self, at_us: int) -> "RestingClock":
        if not self.rebooted:
            return RestingClock(at_us)
        clock = RestingClock(REBOOTED_US)
        clock.reboot()
        clock.advance((at_us - REBOOTED_US) / SECOND)
        return clock

    def put(self, *facts: SegmentSealed, at_us: int = T0) -> None:
        """Segments as a recorder leaves them: the files, and their lines in the journal of the day of `at_us`."""
        for fact in facts:
            file = self.file(fact)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(footage(fact.camera, fact.start_us))
        write_journal(self.volume, facts, at_us, RECORDER)

    def file(self, fact: SegmentSealed) -> Path:
        return self.volume / segment_path(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq)

    # --- starts ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def standing(self, at_us: int = ACT_US) -> AsyncIterator[House]:
        """The controller, built but running nothing by itself."""
        async with built(self.config, self.clock(at_us), external_recorder=True) as house:
            await house.keeper.begin()
            yield house

    @asynccontextmanager
    async def recorder(self, at_us: int) -> AsyncIterator[VolumeWriter]:
        """A recorder's writer on the volume, from the moment at which what a crash left there is in order."""
        identity = json.loads((self.volume / "VOLUME.json").read_bytes())
        runs = RunCounter(self.state / f"recorder-{RECORDER}.run")
        clock = self.clock(at_us)
        start = RecorderStart(
            recorder=RECORDER,
            run=runs.take(),
            at_us=at_us,
            mono_us=clock.monotonic_us(),
            boot_id=clock.boot_id(),
            version="0",
        )
        volume = AssignedVolume(id="v1", path=str(self.volume), uuid=identity["uuid"])
        writer = VolumeWriter(volume, start, runs, clock, Shelf(), sync_us=100_000)
        try:
            async with asyncio.timeout(LIMIT_S):
                while writer.fenced or writer.recovering:
                    await asyncio.sleep(0.001)
            yield writer
        finally:
            writer.stop()
            async with asyncio.timeout(LIMIT_S):
                while not writer.stopped:
                    await asyncio.sleep(0.001)

    async def start_and_stop(self, at_us: int = START_US, *, recorder: bool = True) -> None:
        """A whole run of the product, up to where it has nothing left to do, and its orderly end."""
        if recorder and (self.volume / "VOLUME.json").exists():
            async with self.recorder(at_us):
                pass
        clock = self.clock(at_us)
        stop = asyncio.Event()
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            running = group.create_task(live(self.config, clock, stop, external_recorder=True, log_level="info"))
            await self._rest(clock, running, "archive")  # the journals were read, and the sweep has passed
            # A step of the evidence may be under way; the one after it has seen all of that.
            for _ in range(2):
                await self._rest(clock, running, "evidence", after_s=EVIDENCE_EVERY_S)
            for task in 2 * self.awaits:
                await self._rest(clock, running, task, after_s=AWAITED_EVERY_S)
            stop.set()

    async def _rest(self, clock: RestingClock, running: asyncio.Task[None], task: str, *, after_s: float = 0) -> None:
        """Have this time pass, and wait until the task has come to rest on it."""
        begun = clock.rest(task)
        clock.advance(after_s)
        async with asyncio.TaskGroup() as group:
            rested = group.create_task(begun.wait())
            await asyncio.wait((rested, running), return_when=asyncio.FIRST_COMPLETED)
            assert not running.done(), "the controller ended by itself"

    # --- copies ------------------------------------------------------------------------------------------------------

    def keep(self, name: str) -> None:
        """Keep a copy of the box under `name`."""
        album.copy(self.root, self.folder / name)

    def put_back(self, copy: Path) -> None:
        """Have the box as it is in `copy`."""
        self.take_away()
        album.copy(copy, self.root)

    def take_away(self) -> None:
        """Leave nothing of the box; a link to another disk is let go of."""
        if self.root.is_symlink():
            self.root.unlink()
        else:
            album.remove(self.root)


def footage(camera: str, start_us: int) -> bytes:
    """The bytes of a segment; what they show does not matter to the archive."""
    return f"{camera} {start_us} ".encode() * 20


def segment(camera: str = "cam-1", minute: int = 0, run: int = 1) -> SegmentSealed:
    """A minute of a camera, `minute` minutes after T0."""
    start_us = T0 + minute * MINUTE
    content = footage(camera, start_us)
    digest = hashlib.sha256(content).hexdigest()
    return sealed(camera, start_us, run=run, seq=minute, bytes=len(content), sha256=digest)


def minutes(camera: str, numbers: Iterable[int]) -> list[SegmentSealed]:
    return [segment(camera, number) for number in numbers]


def set_up(box: CutBox) -> None:
    """Folders, and the run counter as a recorder's first start leaves it."""
    box.volume.mkdir(parents=True)
    box.state.mkdir()
    RunCounter(box.state / f"recorder-{RECORDER}.run")


async def recorded(box: CutBox, *facts: SegmentSealed) -> None:
    """A box that was set up, and has recorded and indexed these."""
    set_up(box)
    await box.start_and_stop(SET_UP_US - MINUTE, recorder=False)
    box.put(*facts)
    await box.start_and_stop(SET_UP_US)


class Tells(Protocol):
    """Where cuts may fall from, and what has been promised."""

    def begin(self) -> None: ...

    def told(self, word: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What is cut. `prepare` runs uncut; the start after the cut is at `start_us`.

    `perform` says each thing it has promised. What it says nothing of, edged does by itself: there the next start comes
    to the same end, wherever the act was cut. `durable`: what it promises outlives a power cut. `meanwhile` is what
    happens between the cut and that start, `box` makes its box in a folder.
    """

    prepare: Callable[[CutBox], Coroutine[Any, Any, None]]
    perform: Callable[[CutBox, Tells], Coroutine[Any, Any, None]]
    start_us: int = START_US
    durable: bool = True
    meanwhile: Callable[[CutBox], None] = lambda box: None
    box: Callable[[Path], CutBox] = CutBox
