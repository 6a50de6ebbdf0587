"""A whole controller on a manual clock, for the boundaries of the law: real composition, files, API and commands.

What the world does is played: time passes, the recorder leaves files and journal lines, the kernel says whether a time
service is there. Everything else is the controller as it runs: configuration file, index, law, intake, sweep, holds,
ledger, API on its socket, commands that ask there.
"""

import asyncio
import contextlib
import datetime as dt
import io
import json
import sqlite3
import zoneinfo
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edged.app import house as app_house
from edged.app.house import House, built
from edged.archive.layout import segment_path
from edged.archive.ledger import Entry, LedgerKind, entries
from edged.archive.segments import SegmentKey
from edged.base.clock import MINUTE, SECOND, ManualClock
from edged.cli import main
from edged.config import load_config
from edged.model import StreamKind
from edged.retain.rows import StoredSegment, find_stored
from edged.retain.sweep import SweepReport
from tests.archive_kit import leave_segment, write_journal

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
CAMERAS = """
[[camera]]
id = "cam-a"
url = "rtsp://127.0.0.1/a"
[[camera]]
id = "cam-b"
url = "rtsp://127.0.0.1/b"
"""


def shanghai(month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, *, year: int = 2026) -> int:
    """An instant by its civil time at the site."""
    return round(dt.datetime(year, month, day, hour, minute, second, tzinfo=SHANGHAI).timestamp()) * SECOND


@dataclass
class World:
    """What goes on outside the box, over all its restarts: `ntp` is what the kernel says of a time service."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(shanghai(11, 1, 8)))
    ntp: bool = True
    seq: int = 0
    edits: dict[str, str] = field(default_factory=dict)  # of the configuration's text, before it is read

    @contextlib.asynccontextmanager
    async def box(self, more: str = CAMERAS, **site: str) -> AsyncIterator["Box"]:
        """One run of the controller, configured like this; on the same disk as the runs before."""
        config = load_config(self.configured(more, **site))
        with pytest.MonkeyPatch.context() as kernel:
            kernel.setattr(app_house, "kernel_ntp_synchronised", lambda: self.ntp)
            async with built(config, self.clock, external_recorder=True) as house:
                await house.keeper.begin()
                try:
                    await house.intake.catch_up()
                    await house.survey.look()
                    async with house.api:
                        yield Box(self, house)
                finally:
                    house.intake.close()

    def configured(self, more: str = CAMERAS, **site: str) -> Path:
        for name in ("v1", "state", "run"):
            (self.folder / name).mkdir(exist_ok=True)
        facts = {
            "id": "s",
            "jurisdiction": "jilin",
            "repair_unit": "mending team",
            "superior_department": "department above",
        } | site
        lines = [f'{key} = "{value}"' for key, value in facts.items()]
        path = self.folder / "edged.toml"
        text = (
            "\n".join(["[site]", *lines])
            + f'\n[recorder]\nstate_dir = "{self.folder}/state"\nruntime_dir = "{self.folder}/run"\n'
            + f'[[volume]]\nid = "v1"\npath = "{self.folder}/v1"\n[metrics]\nport = 0\n[discovery]\nenabled = false\n'
            + more
        )
        for old, new in self.edits.items():
            assert old in text, old
            text = text.replace(old, new, 1)
        path.write_text(text)
        return path

    def wait_until(self, at_us: int) -> None:
        """Let time pass, seen by both clocks, until the wall clock says `at_us`."""
        self.clock.advance((at_us - self.clock.wall_us()) / SECOND)


@dataclass
class Box:
    """A controller that runs."""

    world: World
    house: House

    async def record(
        self,
        camera: str = "cam-a",
        end_us: int | None = None,
        *,
        length_us: int = MINUTE,
        age_us: int = 0,
        stream: StreamKind = StreamKind.MAIN,
    ) -> SegmentKey:
        """A segment as the recorder leaves it, taken into the index. It ended `age_us` ago by the monotonic clock."""
        world, clock = self.world, self.world.clock
        end = clock.wall_us() if end_us is None else end_us
        world.seq += 1
        key = SegmentKey(camera, stream, end - length_us, 1, world.seq)
        disk = world.folder / "v1"
        fact = leave_segment(
            disk,
            key,
            end,
            boot_id=clock.boot_id(),
            start_mono_us=max(1, clock.monotonic_us() - age_us - length_us),
        )
        write_journal(disk, [fact], max(end, shanghai(1, 1)))
        await self.house.intake.catch_up()
        return key

    @property
    def index(self) -> Path:
        return self.world.folder / "state" / "index.sqlite3"

    @property
    def volume(self) -> Path:
        return self.world.folder / "v1"

    def file(self, key: SegmentKey) -> Path:
        return self.volume / segment_path(*key)

    async def sweep(self) -> SweepReport:
        report = await self.house.sweep.one_pass()
        self.house._swept(report)
        return report

    async def sweep_at(self, at_us: int) -> SweepReport:
        self.world.wait_until(at_us)
        return await self.sweep()

    async def row(self, key: SegmentKey) -> StoredSegment | None:
        return await self.house.database.read(find_stored, key)

    async def told(self, *kinds: LedgerKind) -> list[Entry]:
        return [e for e in await self.house.database.read(entries, 0, 10**6) if e.kind in kinds]

    async def sql(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Straight into the index, past all of edged but its triggers."""
        return await self.house.database.write(lambda connection: connection.execute(statement, values).fetchall())

    async def edged(self, *words: str) -> tuple[int, str]:
        """A command of the operator's: its exit code and all that it said."""
        said = io.StringIO()

        def run() -> int:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                return main([*words, "--socket", str(self.world.folder / "run" / "api.sock")])

        return await asyncio.to_thread(run), said.getvalue()

    async def asked(self, *words: str) -> Any:
        """The answer of a command that has to succeed, as JSON."""
        code, said = await self.edged(*words, "--json")
        assert code == 0, said
        return json.loads(said)

    async def hold(self, camera: str, start_us: int, end_us: int | None = None) -> str:
        """A hold by the command line; its id."""
        span = ["--from", _iso(start_us)] + ([] if end_us is None else ["--to", _iso(end_us)])
        placed = await self.asked(
            *("holds", "place", camera, *span, "--case", "2026-17", "--authority", "county police"),
            *("--document", "41", "--by", "first officer"),
        )
        return str(placed["id"])


def _iso(at_us: int) -> str:
    return dt.datetime.fromtimestamp(at_us / SECOND, SHANGHAI).isoformat()
