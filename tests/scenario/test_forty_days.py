"""Seventy-five days in the life of a box, hour upon hour of simulated time, against a judge that knows true time.

Five cameras in Jilin, real files and journals, the real intake and sweep. Meanwhile holds are placed and released, the
disk runs full, the wall clock is set forty days ahead and three days back, and a boot with a dead battery says 1970.
The judge keeps, apart from everything under test, when each segment was truly recorded and who held it when. He wants
to see: nothing below its floor or held ever goes; everything else gone once it must; each deletion announced in the
ledger with the article; and every announced deletion done.
"""

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from pathlib import Path

from edged.archive.intake import Intake
from edged.archive.layout import segment_path
from edged.archive.ledger import LedgerKind
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Space
from edged.base.clock import DAY, HOUR, MINUTE, SECOND
from edged.model import Place, StreamKind
from tests.archive_kit import leave_segment, write_journal
from tests.retaining import START_US, House, house

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
STEP_HOURS = 6
DAYS = 75
PLACES: dict[str, Place] = {
    "cam-gate": "listed",
    "cam-hall": "listed",
    "cam-yard": "listed",
    "cam-shop": "other",
    "cam-door": "other",
}
FLOORS = {"listed": 30, "other": 15}
GRACE_DAYS = 3
SIZE = 1000
# Room for what the law makes the box keep, and not for much more.
CAPACITY = 590 * SIZE


@dataclass
class Truth:
    """A segment as it really was: recorded at `true_us`, whatever its label says."""

    camera: str
    true_us: int
    file: Path
    gone_us: int | None = None

    @property
    def floor_days(self) -> int:
        return FLOORS[PLACES[self.camera]]

    def free_from_us(self, extra_days: int = 0) -> int:
        last = dt.datetime.fromtimestamp(self.true_us / SECOND, SHANGHAI).date()
        first = dt.datetime.combine(last + dt.timedelta(days=self.floor_days + extra_days + 1), dt.time(), SHANGHAI)
        return int(first.timestamp()) * SECOND


@dataclass
class HeldTruth:
    camera: str
    start_us: int
    end_us: int
    placed_us: int
    released_us: int | None = None

    def holds(self, segment: Truth, now_us: int) -> bool:
        released = self.released_us is not None and now_us >= self.released_us
        covered = self.start_us < segment.true_us and segment.true_us - MINUTE < self.end_us
        return self.camera == segment.camera and covered and now_us >= self.placed_us and not released


class Story:
    """The world around the box. True time runs; the wall clock is whatever the story makes of it."""

    def __init__(self, box: House, intake: Intake) -> None:
        self.box = box
        self.intake = intake
        self.true_us = START_US
        self.segments: dict[str, Truth] = {}
        self.held: list[HeldTruth] = []
        self.seq = 0
        self.refusals = 0
        self.wrong: list[tuple[int, int]] = []  # true time whose labels are doubtful

    @property
    def day(self) -> float:
        return (self.true_us - START_US) / DAY

    def pass_time(self, hours: float) -> None:
        self.box.clock.advance(hours * 3600)
        self.true_us += round(hours * HOUR)

    def set_wall_to(self, at_us: int) -> None:
        self.box.clock.step_wall((at_us - self.box.clock.wall_us()) / SECOND)

    async def record(self) -> None:
        """One minute of every camera, as the recorder leaves it: the file, then its journal line; then the intake."""
        disk = self.box.volumes[0].volume.path
        end = self.box.clock.wall_us()
        facts = []
        for camera in PLACES:
            self.seq += 1
            key = SegmentKey(camera, StreamKind.MAIN, end - MINUTE, self.box.run_no, self.seq)
            facts.append(leave_segment(disk, key, end, SIZE, boot_id=self.box.clock.boot_id(), start_mono_us=0))
            self.segments[str(key)] = Truth(camera, self.true_us, disk / segment_path(*key))
        write_journal(disk, facts, end)
        before = self.intake.indexed_segments
        await self.intake.catch_up()
        assert self.intake.indexed_segments == before + len(PLACES)

    async def sweep(self) -> None:
        report = await self.box.one_pass()
        self.refusals += bool(report.refused)
        assert report.failed == {}
        for name, truth in self.segments.items():
            if truth.gone_us is None and not truth.file.exists():
                truth.gone_us = self.true_us
                assert self.true_us >= truth.free_from_us(), f"I1: {name} went on day {self.day} below its floor"
                holding = [held for held in self.held if held.holds(truth, self.true_us)]
                assert not holding, f"I2: {name} went on day {self.day} under a hold"

    async def hold(self, camera: str, from_day: float, to_day: float) -> tuple[str, HeldTruth]:
        start, end = START_US + round(from_day * DAY), START_US + round(to_day * DAY)
        placed = await self.box.hold(camera, start_us=start, end_us=end)
        truth = HeldTruth(camera, start, end, self.true_us)
        self.held.append(truth)
        return placed.id, truth

    def wrong_clock_labelled(self, truth: Truth) -> bool:
        return any(first <= truth.true_us <= last for first, last in self.wrong)


async def live(story: Story, until_day: float) -> None:
    """Record and sweep until the given day."""
    while story.day < until_day:
        story.pass_time(STEP_HOURS)
        await story.record()
        await story.sweep()


async def test_i1_i2_i3_forty_days_and_more(tmp_path: Path) -> None:
    async with house(tmp_path, jurisdiction="jilin", grace_days=GRACE_DAYS, batch=20) as box:
        disk = box.volumes[0].volume.path

        def limited(path: Path) -> Space:
            used = sum(file.stat().st_size for file in disk.rglob("*.mp4"))
            return Space(CAPACITY, CAPACITY - used)

        box.space = limited
        for camera, place in PLACES.items():
            await box.camera(camera, place)
        intake = Intake(box.database, box.clock, [swept.volume for swept in box.volumes], box.stamper, box.law.tz)
        story = Story(box, intake)
        try:
            await tell(story)
        finally:
            intake.close()
        await judge_the_ledger(story)


async def tell(story: Story) -> None:
    box, wrong = story.box, story.wrong
    await box.tick()
    await live(story, 10)

    # Day 10: an incident of days 2 to 5 in the hall becomes a case; the shop's days 4 to 6 another.
    case, case_truth = await story.hold("cam-hall", 2, 5)
    await story.hold("cam-shop", 4, 6)
    await live(story, 12)

    # Day 12: somebody sets the wall clock forty days ahead; two days later it is put right.
    box.ntp = False
    story.set_wall_to(story.true_us + 40 * DAY)
    began = story.true_us
    await live(story, 14)
    assert all(truth.gone_us is None for truth in story.segments.values())
    story.set_wall_to(story.true_us)
    box.ntp = True
    wrong.append((began, story.true_us + STEP_HOURS * HOUR))
    await live(story, 22)

    # Day 22: a power cut, and a boot with a dead battery; the time service comes back a day later.
    began = story.true_us
    box.clock.reboot(off_seconds=7200)
    story.true_us += 2 * HOUR
    box.run_no += 1
    box.ntp = False
    story.set_wall_to(100 * SECOND)
    refused = story.refusals
    await live(story, 23)
    assert story.refusals > refused
    story.set_wall_to(story.true_us)
    box.ntp = True
    wrong.append((began, story.true_us + STEP_HOURS * HOUR))
    await live(story, 30)

    # Day 30: the clock falls back three days, for a day and a half.
    began = story.true_us
    box.run_no += 1
    box.ntp = False
    story.set_wall_to(story.true_us - 3 * DAY)
    await live(story, 31.5)
    story.set_wall_to(story.true_us)
    box.run_no += 1
    box.ntp = True
    # True labels of the three days before are among the doubtful ones, and kept longer with them.
    wrong.append((began - 3 * DAY - STEP_HOURS * HOUR, story.true_us + STEP_HOURS * HOUR))
    await live(story, 40)

    # Day 40: everything of the hall has gone by now, except what is held; one person alone releases nothing.
    in_case = [t for t in story.segments.values() if case_truth.holds(t, story.true_us)]
    assert len(in_case) == 12
    await box.holds.release(case, "person-b")
    await live(story, 41)
    assert all(truth.file.exists() for truth in in_case)
    await box.holds.release(case, "person-c")
    case_truth.released_us = story.true_us
    await live(story, 42)
    assert not any(truth.file.exists() for truth in in_case)
    await live(story, DAYS)
    assert_everything_else_is_gone(story)


def assert_everything_else_is_gone(story: Story) -> None:
    """In the listed places a duty to delete runs; elsewhere footage past its floor went where space was needed."""
    late = STEP_HOURS * HOUR
    for name, truth in story.segments.items():
        if any(held.holds(truth, story.true_us) for held in story.held):
            assert truth.file.exists(), name
        elif story.wrong_clock_labelled(truth):
            continue  # kept longer, by as much as the clock was wrong; never shorter, which `sweep` has judged
        elif PLACES[truth.camera] == "listed" and truth.free_from_us(GRACE_DAYS) + late <= story.true_us:
            assert truth.gone_us is not None, f"{name} should have been deleted"
            if not any(held.camera == truth.camera for held in story.held):
                assert truth.gone_us <= truth.free_from_us(GRACE_DAYS) + late, f"{name} was deleted late"
    others = [truth for truth in story.segments.values() if PLACES[truth.camera] == "other"]
    gone = [truth for truth in others if truth.gone_us is not None]
    assert len(gone) > len(others) // 2
    assert sum(truth.file.exists() for truth in story.segments.values()) * SIZE <= CAPACITY


async def judge_the_ledger(story: Story) -> None:
    told = {str(key): entry for key, entry in (await story.box.deletions()).items()}
    gone = {name for name, truth in story.segments.items() if truth.gone_us is not None}
    assert set(told) == gone
    for name, entry in told.items():
        truth = story.segments[name]
        article = {"listed": "order-799/17", "other": "jilin-236/21-2"}[PLACES[truth.camera]]
        assert article in entry.body["rules"], name
        assert article in entry.body["because"], name
        assert entry.body["floor_days"] == truth.floor_days
    rows = await story.box.sql("SELECT count(*) AS count, sum(state) AS states FROM segment")
    assert (rows[0]["count"], rows[0]["states"]) == (len(story.segments) - len(gone), 0)
    deleted = await story.box.sql("SELECT sum(segments) AS all_of, sum(deleted_segments) AS gone FROM camera_day")
    assert (deleted[0]["all_of"], deleted[0]["gone"]) == (len(story.segments), len(gone))
    clock_events = [entry.body["event"] for entry in await story.box.told(LedgerKind.CLOCK_EVENT)]
    assert any("40 d" in event and "did not follow" in event for event in clock_events)
    assert len({truth.camera for name, truth in story.segments.items() if name in gone}) == len(PLACES)
