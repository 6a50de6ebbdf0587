"""The proof of a camera-day, checked as an inspector checks it: each verdict, and every kind of tampering."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from edged.archive import deletions
from edged.archive.layout import utc
from edged.archive.ledger import LedgerKind, append
from edged.archive.segments import segment_file, segments_in
from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.spans import Span
from edged.model import Cause, StreamKind
from edged.prove.bundle import Day
from edged.prove.key import open_key
from edged.prove.proofs import NotOnRecord
from edged.prove.verify_retention import Entry, _segments, verify_bundle
from tests.proving import CAMERA, DATE, DAY_US, Box, box, spoil
from tests.retaining import START_US

SCRIPT_FILES = {"bundle.json", "checkpoint", "leaves.ndjson", "proofs.ndjson", "key.pem", "verify_retention.py"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Box]:
    async with box(tmp_path) as built:
        yield built


async def a_day(site: Box) -> None:
    """All of DATE recorded and told, and the two hours around it."""
    await site.record(START_US, DAY_US + 25 * HOUR)
    await site.until(DAY_US + 26 * HOUR)
    await site.hours.one_pass()


async def test_complete(site: Box, tmp_path: Path) -> None:
    await a_day(site)
    folder = await site.bundle(tmp_path / "bundle")
    report = site.check(folder)
    assert (report.verdict, report.findings, report.gaps) == ("COMPLETE", [], [])
    assert (report.from_us, report.until_us) == (DAY_US, DAY_US + DAY)
    assert report.segments == report.hashed == 144
    assert {path.name for path in folder.iterdir()} == SCRIPT_FILES
    assert report.floors, "the floor and its rules are told"


async def test_complete_on_the_day_of_adoption_and_before_the_day_is_over(site: Box, tmp_path: Path) -> None:
    await site.record(START_US, START_US + 5 * HOUR)
    await site.until(START_US + 4 * HOUR)
    await site.hours.one_pass()
    report = site.check(await site.bundle(tmp_path / "bundle", DATE.replace(day=1)))
    assert report.verdict == "COMPLETE", report.findings
    assert (report.from_us, report.until_us) == (START_US, START_US + 3 * HOUR)
    assert len(report.notes) == 2


async def test_declared_gaps_with_their_causes(site: Box, tmp_path: Path) -> None:
    gap = (DAY_US + 6 * HOUR + 50 * MINUTE, DAY_US + 8 * HOUR + 10 * MINUTE)
    await site.record(START_US, gap[0])
    await site.down(gap[0], Cause.STALLED, gap[1])
    await site.record(gap[1], DAY_US + 25 * HOUR)
    await site.until(DAY_US + 26 * HOUR)
    await site.hours.one_pass()
    report = site.check(await site.bundle(tmp_path / "bundle"))
    assert report.verdict == "COMPLETE_WITH_DECLARED_GAPS", report.findings
    assert report.gaps == [(*gap, "stalled")]


async def test_a_gap_that_nothing_explains_is_missing(site: Box, tmp_path: Path) -> None:
    await site.up(START_US)
    await site.record(START_US, DAY_US + 6 * HOUR)
    await site.record(DAY_US + 7 * HOUR, DAY_US + 25 * HOUR)
    await site.until(DAY_US + 26 * HOUR)
    await site.hours.one_pass()
    report = site.check(await site.bundle(tmp_path / "bundle"))
    assert report.verdict == "MISSING_UNEXPLAINED"
    assert report.gaps == [(DAY_US + 6 * HOUR, DAY_US + 7 * HOUR, "unknown")]


async def test_deleted_after_floor(site: Box, tmp_path: Path) -> None:
    """I1, I3: what the sweep erased past its floor is on record, with hash, floor and clock."""
    await a_day(site)
    await site.until(DAY_US + 40 * DAY)
    site.house.batch = 1000
    report = await site.house.one_pass()
    assert report.erased >= 144, report
    folder = await site.bundle(tmp_path / "bundle")
    checked = site.check(folder)
    assert checked.verdict == "DELETED_AFTER_FLOOR", checked.findings
    assert (checked.segments, checked.hashed, checked.deleted) == (144, 0, 144)
    assert site.check(folder, files=False).verdict == "DELETED_AFTER_FLOOR"


@pytest.mark.parametrize(
    ("forged", "verdict"),
    [
        ({}, "DELETED_AFTER_FLOOR"),
        ({"retention_us": DAY_US + 9 * DAY}, "MISSING_UNEXPLAINED"),
        ({"keep_until_us": DAY_US + 9 * DAY}, "MISSING_UNEXPLAINED"),
        ({"floor_days": 1, "keep_until_us": DAY_US + 9 * DAY}, "MISSING_UNEXPLAINED"),
        ({"segments": "shorter"}, "MISSING_UNEXPLAINED"),
        ({"segments": "and a stranger"}, "MISSING_UNEXPLAINED"),
        ({"digest": "0" * 64}, "ALTERED"),
    ],
)
async def test_i1_a_deletion_that_was_not_lawful_does_not_pass(
    site: Box, tmp_path: Path, forged: dict[str, object], verdict: str
) -> None:
    """I1: an entry in the ledger proves that it was deleted, not that it might be."""
    await a_day(site)
    (record,) = [body for body in await site.told("camera_hour") if body["hour_us"] == DAY_US + 5 * HOUR]
    offset, length, run, number, size, digest = record["segments"][2]
    end_us = record["hour_us"] + offset + length
    told = {
        "shorter": [[offset, length - 1, run, number]],
        "and a stranger": [[offset, length, run, number], [offset + length, length, run, number + 99]],
    }
    if "segments" in forged:
        forged = {"segments": told[str(forged["segments"])]}
    lawful: dict[str, object] = {
        "camera": CAMERA,
        "stream": "main",
        "hour_us": record["hour_us"],
        "segments": [[offset, length, run, number]],
        "bytes": size,
        "digest": deletions.digest([base64.b64decode(digest).hex()]),
        "floor_days": record["floor_days"],
        "keep_until_us": end_us + (record["floor_days"] + 1) * DAY,
        "retention_us": end_us + (record["floor_days"] + 2) * DAY,
    }
    await site.house.database.write(append, 5, LedgerKind.SEGMENTS_DELETED, lawful | forged)
    at = end_us - length
    (file,) = site.house.volumes[0].volume.path.glob(f"segments/*/{utc(at):%Y-%m-%d}/{utc(at):%H%M%S}Z-*.mp4")
    file.unlink()
    report = site.check(await site.bundle(tmp_path / "bundle"))
    assert (report.verdict, report.deleted) == (verdict, 1), report.findings


async def test_i2_what_was_announced_and_then_spared_is_not_deleted(site: Box, tmp_path: Path) -> None:
    """I2, I3: a hold spared it; whoever took the file away later has no deletion to point at."""
    await a_day(site)
    rows = await site.house.database.read(segments_in, CAMERA, StreamKind.MAIN, Span(DAY_US, DAY_US + HOUR))
    row = rows[2]
    why = {"floor_days": 30, "keep_until_us": row.end_us + 31 * DAY, "retention_us": row.end_us + 32 * DAY}
    going = [deletions.Going(row.key, row.end_us, row.bytes, row.sha256)]
    await site.house.database.write(deletions.announce, going, why, 5)
    (site.house.volumes[0].volume.path / segment_file(row)).unlink()
    report = site.check(await site.bundle(tmp_path / "announced"))
    assert (report.verdict, report.deleted) == ("DELETED_AFTER_FLOOR", 1)
    await site.house.database.write(deletions.spare, row.key, "under evidence hold hold-1", 6)
    report = site.check(await site.bundle(tmp_path / "spared"))
    assert (report.verdict, report.deleted) == ("MISSING_UNEXPLAINED", 0)


async def test_a_file_that_is_gone_without_a_deletion_is_missing(site: Box, tmp_path: Path) -> None:
    """I3: nobody but a recorded deletion makes a file's absence lawful."""
    await a_day(site)
    folder = await site.bundle(tmp_path / "bundle")
    lost = next(site.house.volumes[0].volume.path.glob("segments/*/2026-11-02/*.mp4"))
    lost.unlink()
    report = site.check(folder)
    assert report.verdict == "MISSING_UNEXPLAINED"
    assert any(lost.name in finding for finding in report.findings)


async def test_a_file_of_other_content_is_altered(site: Box, tmp_path: Path) -> None:
    await a_day(site)
    folder = await site.bundle(tmp_path / "bundle")
    file = next(site.house.volumes[0].volume.path.glob("segments/*/2026-11-02/*.mp4"))
    spoil(file, 5)
    report = site.check(folder)
    assert report.verdict == "ALTERED"
    assert [file.name in finding for finding in report.findings] == [True]
    assert site.check(folder, files=False).verdict == "COMPLETE", "without the files nobody can tell"


def without(hours: range, **about: Any) -> Callable[[Day, list[dict[str, Any]]], Day]:
    """The lie of a recorder that leaves out the records of some hours and says something else of the day."""

    def lie(day: Day, entries: list[dict[str, Any]]) -> Day:
        kept = {entry["seq"] for entry in entries if entry["body"].get("hour_us") not in hours}
        return Day(day.about | about, frozenset(kept))

    return lie


@pytest.mark.parametrize(
    ("first", "last", "about"),
    [
        (0, 3, {"since_us": DAY_US + 3 * HOUR}),
        (10, 11, {}),
        (21, 24, {"until_us": DAY_US + 21 * HOUR}),
    ],
    ids=["the first", "one in the middle", "the last"],
)
async def test_a_day_without_some_of_its_hours_is_missing(
    site: Box, tmp_path: Path, first: int, last: int, about: dict[str, int]
) -> None:
    """I4: a bundle that leaves hours out is not a shorter complete day."""
    await a_day(site)
    await site.until(DAY_US + 3 * DAY)
    hours = range(DAY_US + first * HOUR, DAY_US + last * HOUR, HOUR)
    folder = await site.lying_bundle(tmp_path / "bundle", without(hours, **about))
    report = site.check(folder)
    assert report.verdict == "MISSING_UNEXPLAINED"
    assert report.findings


async def test_a_stale_head_shows_its_date(site: Box, tmp_path: Path) -> None:
    """A proof made before the last hours were due may lack them, and says when it was made and how far it reaches."""
    await a_day(site)
    late = range(DAY_US + 21 * HOUR, DAY_US + 25 * HOUR, HOUR)
    folder = await site.lying_bundle(tmp_path / "bundle", without(late, until_us=DAY_US + 21 * HOUR))
    report = site.check(folder)
    assert (report.verdict, report.until_us) == ("COMPLETE", DAY_US + 21 * HOUR)
    assert report.made_us == DAY_US + 26 * HOUR
    assert any("not on record yet" in note for note in report.notes)


async def test_a_bundle_signed_by_another_key_is_altered(site: Box, tmp_path: Path) -> None:
    """A whole false history can be signed with a false key; the true key, got by another way, tells."""
    await a_day(site)
    folder = await site.bundle(tmp_path / "bundle")
    (tmp_path / "other").mkdir()
    other = open_key(tmp_path / "other", site.proofs.key.origin)
    assert verify_bundle(folder, (), [other.pem.encode()]).verdict == "ALTERED"
    (folder / "key.pem").write_text(other.pem)
    assert verify_bundle(folder).verdict == "ALTERED"


@pytest.mark.parametrize(
    "about",
    [
        {"date": "2026-11-03"},
        {"camera": "cam-2"},
        {"stream": "sub"},
        {"from_us": DAY_US + HOUR},
        {"to_us": DAY_US + DAY - HOUR},
        {"v": 9},
    ],
)
async def test_what_the_bundle_says_of_itself_is_checked(site: Box, tmp_path: Path, about: dict[str, Any]) -> None:
    """Even where the recorder itself says it, under its signature."""
    await a_day(site)
    folder = await site.lying_bundle(tmp_path / "bundle", lambda day, _: Day(day.about | about, day.entries))
    assert site.check(folder).verdict in ("ALTERED", "MISSING_UNEXPLAINED")


@pytest.mark.parametrize("name", ["bundle.json", "checkpoint", "leaves.ndjson", "proofs.ndjson"])
async def test_a_bundle_without_one_of_its_files_is_altered(site: Box, tmp_path: Path, name: str) -> None:
    await a_day(site)
    folder = await site.bundle(tmp_path / "bundle")
    (folder / name).unlink()
    assert site.check(folder).verdict == "ALTERED"


async def test_a_journal_read_late_supersedes_and_cannot_be_hidden(site: Box, tmp_path: Path) -> None:
    """I4: footage found late is added by a new record that names the old one."""
    hole = (DAY_US + 6 * HOUR, DAY_US + 6 * HOUR + 30 * MINUTE)
    await site.up(START_US)
    await site.record(START_US, hole[0])
    await site.record(hole[1], DAY_US + 25 * HOUR)
    await site.until(DAY_US + 26 * HOUR)
    await site.hours.one_pass()
    assert site.check(await site.bundle(tmp_path / "before")).verdict == "MISSING_UNEXPLAINED"
    await site.record(*hole)
    await site.hours.one_pass()
    folder = await site.bundle(tmp_path / "after")
    assert site.check(folder).verdict == "COMPLETE"
    newer = [body for body in await site.told("camera_hour") if body["supersedes"]]
    assert [(body["hour_us"], len(body["segments"])) for body in newer] == [(hole[0], 6)]
    old = newer[0]["supersedes"]
    folder = await site.lying_bundle(tmp_path / "hidden", lambda day, _: Day(day.about, day.entries - {old}))
    assert site.check(folder).verdict == "ALTERED"


async def test_i1_an_hour_in_which_the_law_changed_is_judged_by_both_floors(site: Box, tmp_path: Path) -> None:
    """Footage of a key target, and of what is none any more: neither answers for the other's floor."""
    await site.up(START_US)
    await site.record(START_US, DAY_US)
    await site.house.camera(CAMERA, designations=("key_target",))
    await site.record(DAY_US, DAY_US + 30 * MINUTE)
    await site.house.camera(CAMERA, designations=())
    await site.record(DAY_US + 30 * MINUTE, DAY_US + 25 * HOUR)
    await site.until(DAY_US + 26 * HOUR)
    await site.hours.one_pass()
    report = site.check(await site.bundle(tmp_path / "bundle"))
    assert (report.verdict, [floor.partition(" by ")[0] for floor in report.floors]) == (
        "COMPLETE",
        ["30 days", "90 days"],
    )
    (body,) = [body for body in await site.told("camera_hour") if body["hour_us"] == DAY_US]
    floors = [one.floor_days for one in _segments(Entry(1, 0, "camera_hour", body))]
    assert floors == [90] * 3 + [30] * 3


async def test_nothing_on_record_yet(site: Box, tmp_path: Path) -> None:
    with pytest.raises(NotOnRecord):
        await site.bundle(tmp_path / "bundle")
    assert await site.told("proof_made") == [], "a proof that was refused was not made"


async def test_i9_a_bundle_names_no_address(site: Box, tmp_path: Path) -> None:
    details = {"address": "192.0.2.9", "stream_uri": "rtsp://192.0.2.9/x", "model": "Model-9"}
    await site.house.sql("UPDATE camera SET details = ?, name = 'north gate'", json.dumps(details))
    await a_day(site)
    folder = await site.bundle(tmp_path / "bundle")
    for path in folder.iterdir():
        for secret in ("192.0.2.9", "rtsp:", "Model-9", "north gate"):
            assert secret not in path.read_text(encoding="utf-8"), path.name


async def test_the_script_in_the_bundle_runs_alone(site: Box, tmp_path: Path) -> None:
    """As an inspector runs it: isolated from this package, from any folder."""
    await a_day(site)
    folder = await site.bundle(tmp_path / "bundle")
    disk = site.house.volumes[0].volume.path

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        script = str(folder / "verify_retention.py")
        return subprocess.run(
            [sys.executable, "-I", script, *words], cwd=folder, capture_output=True, text=True, check=False
        )

    done = run(str(folder), "--files", str(disk), "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "COMPLETE"), done.stderr
    spoil(next(disk.glob("segments/*/2026-11-02/*.mp4")), 0)
    done = run(str(folder), "--files", str(disk))
    assert done.returncode == 1
    assert done.stdout.startswith(f"ALTERED  camera {CAMERA}, {DATE}, main stream\n")
    assert run(str(folder / "nowhere")).returncode == 2
    imports = re.findall(r"^ *(?:import|from) (\w+)", (folder / "verify_retention.py").read_text(), re.M)
    assert set(imports) - sys.stdlib_module_names == {"cryptography"}
