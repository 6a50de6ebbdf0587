"""What the commands print for people: sentences that say what happened, to what, until when, and what to do.

A controller on a manual clock answers; times are civil time at the site.
"""

import argparse
import asyncio
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.cli import build_parser, main
from edged.cli.show import count, for_people
from edged.cli.status import SENTENCES, sentence
from edged.law.packs import shipped_packs
from edged.model import Cause
from edged.report.health import LedgerHealth, OutageHealth, VolumeForecast, VolumeHealth, health_document, problems
from tests.law_box import CAMERAS, Box, World, shanghai
from tests.outage_site import Feed, Site
from tests.reporting import a_snapshot

SPAN = ("holds", "place", "cam-a", "--from", "2026-11-01T07:00:00+08:00")
PLACE = (*SPAN, "--case", "2026-17", "--authority", "county police", "--document", "41", "--by", "first officer")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """2026-11-01 08:00 in Shanghai, in Jilin, at a listed place."""
    return World(tmp_path)


async def said(box: Box, *words: str, code: int = 0) -> list[str]:
    """The lines of a command that has to end with `code`; columns a single space apart."""
    ended, text = await box.edged(*words)
    assert ended == code, text
    return [re.sub(r" {2,}", " ", line.strip()) for line in text.splitlines()]


async def test_i2_a_reminder_asks_people_and_releases_nothing(world: World) -> None:
    """Its day comes at the site's midnight; the hold stays in force, and another letter moves the reminder."""
    async with world.box('[retention]\ngrace = "0d"\n' + CAMERAS) as box:
        key = await box.record()
        assert await said(box, "holds") == ["no hold is in force"]
        assert await said(box, *PLACE, "--remind-on", "2026-12-10") == ["hold-1: in force, 1 segment so far"]
        (_, line) = await said(box, "holds")
        assert line.startswith("hold-1 cam-a 2026-11-01T07:00:00+08:00 open 2026-17 first officer in force 2026-12-10")
        await box.sweep_at(shanghai(12, 9, 23, 59, 59))
        await box.house.survey.look()
        assert len(await said(box, "holds")) == 2
        assert not any("hold-1" in line for line in await said(box, "status", code=1))

        await box.sweep_at(shanghai(12, 10))
        due = "! hold-1 is to be decided about since 2026-12-10: release it, or extend it"
        assert (await said(box, "holds"))[-1] == due
        told = await said(box, "status", code=1)
        assert "! hold-1 is to be decided about: release it, or extend it (`edged holds`)" in told
        assert (await box.sweep_at(shanghai(12, 20))).erased == 0
        assert box.file(key).exists()

        later = ("holds", "extend", "hold-1", "--document", "42", "--by", "first officer", "--remind-on", "2027-03-01")
        assert await said(box, *later) == ["hold-1: in force, 1 segment so far"]
        assert due not in await said(box, "holds")
        (again,) = await said(box, *later, code=4)
        assert again.startswith("edged: hold-1 covers that already")
        (placed,) = await box.told(LedgerKind.HOLD_PLACED)
        (moved,) = await box.told(LedgerKind.HOLD_EXTENDED)
        assert (placed.body["remind_us"], moved.body["remind_us"]) == (shanghai(12, 10), shanghai(3, 1, year=2027))
        half = await said(box, "holds", "release", "hold-1", "--by", "first officer")
        assert half == ["hold-1: half released by first officer; a second, different person has to release it too"]
        assert "half released by first officer 2027-03-01" in (await said(box, "holds"))[1]


@pytest.mark.parametrize("day", ["2026-13-01", "9999-12-31", "0001-01-01", "soon"])
async def test_a_reminder_is_a_day(world: World, day: str) -> None:
    async with world.box() as box:
        (line,) = await said(box, *PLACE, "--remind-on", day, code=4)
        assert line == f"edged: remind_on: '{day}' is not a day; write it like 2026-11-01"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("cameras", "coverage", "front gate"), "no camera has the id front gate; `edged cameras` lists the ids"),
        (("cameras", "coverage", "大门/../x?y#z"), "no camera has the id 大门/../x?y#z; `edged cameras` lists the ids"),
        (("cameras", "adopt", "a/b", "--by", "x"), "no camera has the id a/b; `edged cameras` lists the ids"),
        (
            ("holds", "release", "a hold", "--by", "x"),
            "there is no hold a hold; `edged holds list --all` shows the ids",
        ),
        (("outages", "show", "%2e%2e"), "there is no outage '%2e%2e'; `edged outages list --all` shows the ids"),
    ],
)
async def test_whatever_is_typed_as_a_name_is_asked_for_as_it_is(
    world: World, words: tuple[str, ...], line: str
) -> None:
    async with world.box() as box:
        assert await said(box, *words, code=4) == [f"edged: {line}"]


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-08:00", "0001-01-01T00:00:00+08:00"])
async def test_a_time_that_no_calendar_at_the_site_has_is_refused(world: World, at: str) -> None:
    """It would be accepted, and every list of holds would fail at it from then on."""
    async with world.box() as box:
        (line,) = await said(box, *PLACE, "--to", at, code=4)
        assert line == f"edged: to: '{at}' is out of reach; leave it out where there is no such end"
        assert await said(box, "holds") == ["no hold is in force"]


@pytest.mark.parametrize(
    "words",
    [
        ("retention", "explain"),
        ("retention", "explain", "cam-a/main/1-1-1", "--camera", "cam-a", "--at", "2026-11-01T08:00:00Z"),
        ("retention", "explain", "--camera", "cam-a"),
        ("archive", "scrub", "--date", "2026-11-01"),
        ("archive", "scrub", "--segment", "cam-a/main/1-1-1", "--camera", "cam-a", "--date", "2026-11-01"),
        ("ledger", "verify", "--key", "key.pem"),
    ],
)
async def test_half_a_question_is_refused_and_not_answered_as_another(world: World, words: tuple[str, ...]) -> None:
    async with world.box() as box:
        (line,) = await said(box, *words, code=2)
        assert "name a" in line or "name the copy" in line


async def test_a_time_that_has_not_come_is_no_gap(world: World) -> None:
    async with world.box() as box:
        (line,) = await said(
            box, "retention", "explain", "--camera", "cam-a", "--at", "2026-11-01T08:00:01+08:00", code=4
        )
        assert line == "edged: at: 2026-11-01T08:00:01+08:00 has not come yet; ask for a time that has passed"


async def test_what_cannot_be_written_is_said_by_name_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    async with world.box() as box:
        await box.sweep()
        key = await box.record()
        world.clock.advance(2 * 3600)
        await box.house.hours.one_pass()
        nowhere = tmp_path / "no" / "folder"
        (line,) = await said(box, "ledger", "prove", "--segment", str(key), "--out", str(nowhere), code=2)
        assert line == f"edged: {nowhere} cannot be written (No such file or directory)"
        bundle = tmp_path / "bundle"
        await said(box, "prove", "day", "--camera", "cam-a", "--date", "2025-01-01", "--out", str(bundle), code=4)
        assert not bundle.exists()
        file = tmp_path / "file"
        file.write_text("")
        (line,) = await said(
            box, "prove", "day", "--camera", "cam-a", "--date", "2026-11-01", "--out", str(file), code=2
        )
        assert line == f"edged: {file} cannot be written (Not a directory)"


async def test_the_retention_clock_says_why_it_is_not_trusted(world: World) -> None:
    async with world.box() as box:
        assert (await said(box, "retention"))[
            -1
        ] == "retention clock: -, NOT trusted: the sweep has not looked at it yet"
        await box.sweep()
        await box.record()
        world.clock.step_wall(-3 * 86400)
        await box.sweep()
        why = "the wall clock stands 3 d 0 h 0 min before the retention clock; nothing is deleted meanwhile"
        line = f"retention clock: 2026-11-01T08:00:00+08:00, NOT trusted: {why}"
        assert (await said(box, "retention"))[-1] == line


async def test_a_plan_that_does_not_satisfy_the_law_says_by_how_much(world: World) -> None:
    async with world.box() as box:
        await box.record()
        await box.house.survey.look()
        while (await said(box, "retention", "plan"))[-1] == "no volume can be asked":
            await asyncio.sleep(0.005)
        lines = await said(box, "retention", "plan", "--add-camera", "999M", code=1)
        needs = r"! volume v1 lacks [\d.]+ TiB of what the law needs; it will be full of footage that must stay in .+"
        assert any(re.fullmatch(needs, line) for line in lines)
        more = r"volume v1: with what is added the law needs [\d.]+ TiB more; without it the volume is enough"
        assert any(re.fullmatch(more, line) for line in lines)
        assert "cam-b v1 - 30 d - -" in lines, "what was not measured is not called enough"
        assert lines[-1] == "! no rate is known yet of cam-b: it takes a minute of footage"


async def test_an_outage_tells_what_is_owed_to_whom_by_which_article(world: World) -> None:
    """I5: until when, by civil time, and the article or contract that says so."""
    async with world.box('[outage]\noutage_after = "8s"\n' + CAMERAS, jurisdiction="changzhou") as box:
        site = Site(world.folder, clock=world.clock)
        site.desk, site.feeds = box.house.desk, {"cam-a": Feed(), "cam-b": Feed()}
        assert await said(box, "outages") == ["no outage is open"]
        outage = (await site.lose_one()).outage.id
        table = await said(box, "outages", code=1)
        assert table[1].startswith(f"{outage} cam-a outage unreachable 2026-11-01T08:00:04+08:00 in ")
        unit, department = "the repair unit (mending team)", "the superior department (department above)"
        due = "2026-11-01T09:00:04+08:00 ("
        assert table[2].startswith(f"{outage}: to be reported to {unit} and {department} by {due}")
        by = ("--received-by", "duty engineer")
        await said(box, "outages", "report", outage, "--to", "repair-unit", *by)
        (line,) = [line for line in await said(box, "outages", code=1) if line.startswith(f"{outage}: ")]
        assert line.startswith(f"{outage}: to be reported to {department} by {due}")
        await said(box, "outages", "report", outage, "--to", "superior-department", *by)
        (line,) = [line for line in await said(box, "outages", code=1) if line.startswith(f"{outage}: ")]
        assert line.startswith(f"{outage}: the repair unit is to be on site by 2026-11-01T10:00:")
        await said(box, "outages", "attended", outage, "--by", "duty engineer")
        shown = await said(box, "outages", "show", outage)
        assert shown[0] == f"{outage}: camera cam-a, attended, cause unreachable"
        assert shown[1].startswith("last good frame 2026-11-01T08:00:04+08:00, opened 2026-11-01T08:00:1")
        assert [line.split(" 2026")[0] for line in shown[3:6]] == [
            f"report to {unit}",
            f"report to {department}",
            "attendance",
        ]
        assert all(" met 2026-11-01T08:00:" in line and " duty engineer " in line for line in shown[3:6])
        assert [line.split(" ", 1)[1].split(" duty")[0] for line in shown[8:]] == [
            "report received",
            "report received",
            "reported - -",
            "attended",
        ]


async def test_the_law_is_told_as_sentences_and_a_floor_where_it_was_asked_for(world: World) -> None:
    async with world.box() as box:
        kept = await said(box, "law", "explain", "--camera", "cam-a")
        assert kept[1] == "floor: 30 days, by order-799/17"
        assert any(
            line.endswith("gives the floor State Council Order 799 art. 17 demands at least 30 days") for line in kept
        )
        assert any(
            line.endswith("applies State Council Order 799 art. 17 demands deletion after 30 days") for line in kept
        )
        shown = await said(box, "law", "explain", "--camera", "cam-a", "--topic", "retrieval")
        assert not any(line.startswith("floor:") for line in shown)
        assert any("Jilin Order 236 art. 25: judicial organs may view" in line for line in shown)
        none = await said(box, "law", "explain", "--camera", "cam-a", "--topic", "report")
        assert none == ["cam-a: jilin, listed place", "no article known here is about report"]


def test_a_bad_pack_is_json_too(tmp_path: Path) -> None:
    pack = tmp_path / "jilin.toml"
    good = (shipped_packs() / "jilin.toml").read_text(encoding="utf-8")
    pack.write_text(good.replace("value = 15", 'value = "fifteen"', 1), encoding="utf-8")
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        assert main(["law", "check", str(pack), "--json"]) == 2
    told = json.loads(heard.getvalue())
    assert (told["ok"], len(told["problems"])) == (False, 1)
    line = 1 + good[: good.index("value = 15")].count("\n")
    assert told["problems"][0].startswith(f"{pack}:{line}: entry[0].value: ")


def test_amounts_are_written_as_people_do() -> None:
    assert (for_people(-0.4), for_people(-61), for_people(93_784)) == ("0s", "-1min 1s", "1d 2h")
    assert (count(0, "outage"), count(1, "outage"), count(2, "outage")) == ("0 outages", "1 outage", "2 outages")


def test_every_command_and_argument_is_explained() -> None:
    """By `--help`, down to the last act."""
    waiting = [("edged", build_parser())]
    seen = 0
    while waiting:
        name, parser = waiting.pop()
        assert parser.description, name
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += [(f"{name} {act}", below) for act, below in action.choices.items()]
            else:
                assert action.help, f"{name} {action.dest}"
                seen += 1
    assert seen > 100


def test_every_word_of_the_health_has_its_sentence() -> None:
    """A word that the health learns and the command does not would be printed bare."""
    lost = OutageHealth(
        outage="out-1",
        camera="cam-1",
        state="outage",
        cause=Cause.STALLED,
        t0_us=1,
        report_due_us=2,
        attend_due_us=None,
        overdue=("report",),
    )
    everything = a_snapshot(
        1,
        recorder_online=False,
        outages=(lost,),
        archive_incomplete=True,
        volumes=(
            VolumeHealth(volume="v1", online=False, size_bytes=None, free_bytes=None),
            VolumeHealth(volume="v2", online=True, size_bytes=9, free_bytes=0, cameras_stopped=2),
        ),
        forecasts=(VolumeForecast(volume="v1", room_bytes=4, needed_bytes=5, full_us=7, alarm=True),),
        footage_altered=3,
        hold_reminders=("hold-4", "hold-7"),
        index_full=True,
        ledger=LedgerHealth(behind=("v1",), rewritten=True),
        retention_clock_trusted=False,
    )
    assert set(problems(everything)) == set(SENTENCES)
    soon = [{"volume": "v1", "full": "2026-12-01T09:30:00.000+08:00"}]
    health = {**health_document(everything), "disks_too_small": soon}  # as the API answers
    told = {word: sentence(word, health) for word in problems(everything)}
    assert told["disk_full"].startswith("volume v2 is full of footage that must be kept")
    assert told["hold_reminder"].startswith("hold-4, hold-7 is to be decided about")
    assert told["footage_altered"].startswith("3 segments are not what was recorded")
    full = "volume v1 will be full on 2026-12-01T09:30:00+08:00, of footage that must be kept: `edged retention plan`"
    assert told["disk_too_small"] == full
    assert not [line for line in told.values() if "{" in line]


def test_a_user_without_a_name_is_asked_for_one(tmp_path: Path) -> None:
    """As in a container: everything works that needs no name, and what needs one says so."""

    def edged(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", "--user", "--map-user=54321", "env", "-i", sys.executable, "-m", "edged", *words],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    if shutil.which("unshare") is None or edged("--version").returncode != 0:
        pytest.skip("no user namespaces here")
    assert edged("holds", "place", "--help").returncode == 0
    done = edged("holds", "release", "hold-1", "--socket", str(tmp_path / "api.sock"))
    assert (done.returncode, done.stderr) == (2, "edged: it is not known who you are; say so: --by NAME\n")
