"""The short form of `make soak`: eight cameras under a rain of faults for some twenty seconds."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from edged.base.spans import Span
from edged.model import Coverage
from tests.soak.faults import plan
from tests.soak.kept import load, save
from tests.soak.run import VOLUME, Options, Outcome, soak
from tests.soak.verdict import Report, judge, judge_sum

OPTIONS = Options(cameras=8, seconds=20.0, seed=3, every_s=0.8, segment_seconds=4.0, subnet="127.31.0")


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Report]:
    async def run() -> tuple[Outcome, Report]:
        outcome = await soak(tmp_path_factory.mktemp("soak"), OPTIONS)
        return outcome, await judge(outcome)

    return asyncio.run(run())


def test_i4_every_instant_and_every_frame_is_accounted_for(soaked: tuple[Outcome, Report]) -> None:
    _, report = soaked
    assert report.wrong == []
    assert report.unexplained_us == 0
    assert report.gaps > OPTIONS.cameras, "no fault ever cost anything: the soak proves nothing"
    assert report.missing_frames > 0
    assert report.frames > OPTIONS.cameras * OPTIONS.fps * OPTIONS.seconds / 2


def test_the_faults_of_a_seed_are_always_the_same(soaked: tuple[Outcome, Report]) -> None:
    outcome, _ = soaked
    cameras = [camera["name"] for camera in outcome.cameras]
    assert outcome.faults == list(plan(OPTIONS.seed, cameras, OPTIONS.seconds, OPTIONS.every_s))


def test_what_is_kept_of_a_soak_is_all_that_the_judge_needs(soaked: tuple[Outcome, Report]) -> None:
    outcome, _ = soaked
    save(outcome, outcome.site.root)
    again = load(outcome.site.root)
    assert dataclasses.replace(again, site=outcome.site) == outcome
    assert again.site.path(VOLUME) == outcome.site.path(VOLUME)
    assert again.site.files(VOLUME) == outcome.site.files(VOLUME)


def test_i4_a_sum_that_is_short_by_a_microsecond_is_seen() -> None:
    """The judge itself: what it is there to find, it finds."""
    day = Span(0, 1000)
    for coverage, wrong in (
        (Coverage(day, (Span(0, 400), Span(400, 1000)), ()), 0),
        (Coverage(day, (Span(0, 400), Span(401, 1000)), ()), 1),
        (Coverage(day, (Span(0, 401), Span(400, 1000)), ()), 1),
        (Coverage(day, (Span(0, 999),), ()), 1),
    ):
        report = Report()
        judge_sum(coverage, day, "cam-1", report)
        assert (report.unexplained_us, bool(report.wrong)) == (wrong, bool(wrong))


async def test_i4_a_file_that_is_gone_is_seen(soaked: tuple[Outcome, Report], tmp_path: Path) -> None:
    """The judge itself again: frames that are on no disk are missing, whatever the journal says."""
    outcome, _ = soaked
    victim = outcome.site.recording("cam-2")[1]
    kept = victim.rename(tmp_path / victim.name)
    try:
        report = await judge(outcome)
        assert any("not on the disk" in problem for problem in report.wrong)
        assert any("no gap says so" in problem or "lie between two files" in problem for problem in report.wrong)
    finally:
        kept.rename(victim)
