"""The boundaries of the law about retention, one by one: real index, files, sweep, API and command line.

Numbered as in the requirements' list of boundary tests. Holds, the ledger and what must not exist are in
test_law_boundaries_holds. What the other numbers are about, and where it is proved, stands in ELSEWHERE below.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.volumes import Space
from edged.base.clock import DAY, MINUTE, SECOND
from edged.law.packs import shipped_packs
from tests.law_box import CAMERAS, Box, World, shanghai

# Numbers that no test here or in test_law_boundaries_holds has, with the reason or where it is proved.
ELSEWHERE = {
    16: "a report to one addressee alone: tests/unit/test_outage_desk.py",
    17: "attendance from the receipt: tests/unit/test_outage_desk.py",
    18: "an outage dated back over three hours without a daemon: tests/unit/test_outage_desk.py",
    19: "retrieval with one requester: nothing hands footage out yet; the packs say how many (test_law_packs.py)",
    20: "viewing and copying in Weihai: nothing hands footage out yet; the packs say which papers",
    21: "whose approval a court needs in Jilin: nothing hands footage out yet; the packs say whose",
    22: "viewing for a lost child: nothing shows footage yet; the packs say viewing alone",
    23: "a recipient abroad: nothing hands footage out yet; jilin-236/22-6 says what it needs",
    24: "a camera turned away: edged does not look at pictures",
    25: "leaves growing over a camera: edged does not look at pictures",
    26: "earliest day of a removal: nothing plans removals yet; the packs say how many days (test_law_packs.py)",
    27: "a filing that no longer fits: nothing keeps filings yet; the packs say what is filed",
    28: "nothing confidential over MQTT: tests/contract/test_mqtt_brokers.py and tests/unit/test_report_messages.py",
}
OTHER = CAMERAS.replace('id = "cam-a"', 'id = "cam-a"\nplace = "other"')


@pytest.fixture
def world(tmp_path: Path) -> World:
    """2026-11-01 08:00 in Shanghai, in Jilin, at a listed place."""
    return World(tmp_path)


async def test_law_12_01_a_floor_of_thirty_days_ends_with_the_thirtieth_days_midnight(world: World) -> None:
    """I1: last frame on day D at 23:59:59: refused on D+30 at 23:59:59, allowed on D+31 at 00:00:00."""
    async with world.box('[retention]\ngrace = "0d"\n' + CAMERAS) as box:
        world.wait_until(shanghai(11, 1, 23, 59, 59))
        key = await box.record()
        assert (await box.sweep_at(shanghai(12, 1, 23, 59, 59))).erased == 0
        (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
        assert told["because"] == "below its floor of 30 days under order-799/17"
        assert told["keep_until"] == "2026-12-02T00:00:00+08:00"
        assert (await box.sweep_at(shanghai(12, 2))).erased == 1
        assert not box.file(key).exists()


async def test_law_12_02_the_same_where_the_box_itself_runs_in_utc(world: World) -> None:
    """Civil days are the site's: half past midnight there is still the day before in UTC and in New York."""
    script = (
        "import asyncio, pathlib, sys, time\n"
        "from tests.law_box import CAMERAS, Box, World, shanghai\n"
        "async def go():\n"
        "    world = World(pathlib.Path(sys.argv[1]))\n"
        "    async with world.box('[retention]\\ngrace = \"0d\"\\n' + CAMERAS) as box:\n"
        "        world.wait_until(shanghai(11, 2, 0, 30))\n"
        "        key = await box.record()\n"
        "        await box.sweep_at(shanghai(12, 2, 23, 59, 59))\n"
        "        early = box.file(key).exists()\n"
        "        await box.sweep_at(shanghai(12, 3))\n"
        "        print(time.timezone, early, box.file(key).exists())\n"
        "asyncio.run(go())\n"
    )
    for zone, offset in (("UTC", 0), ("Asia/Shanghai", -28800), ("America/New_York", 18000)):
        folder = world.folder / zone.replace("/", "-")
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder)],
            env={**os.environ, "TZ": zone},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [str(offset), "True", "False"], zone


async def test_law_12_03_a_segment_over_midnight_counts_from_its_end(world: World) -> None:
    async with world.box('[retention]\ngrace = "0d"\n' + CAMERAS) as box:
        world.wait_until(shanghai(11, 2, 0, 0, 30))
        over = await box.record(end_us=shanghai(11, 2, 0, 0, 30))
        before = await box.record("cam-b", end_us=shanghai(11, 1, 23, 59, 59), age_us=31 * SECOND)
        assert (await box.sweep_at(shanghai(12, 2))).erased == 1
        assert (box.file(before).exists(), box.file(over).exists()) == (False, True)
        assert (await box.sweep_at(shanghai(12, 3))).erased == 1


async def test_law_12_04_a_clock_forty_days_ahead_deletes_nothing(world: World) -> None:
    """I10: whatever the wall clock says, until somebody vouches for it."""
    async with world.box() as box:
        await box.sweep()
        key = await box.record()
        world.ntp = False
        world.clock.step_wall(40 * 86400)
        for _ in range(20):
            world.clock.advance(3600)
            assert (await box.sweep()).erased == 0
        clock = (await box.asked("retention"))["clock"]
        assert clock["at"].startswith("2026-11-02T04:00")
        assert any("did not follow" in e.body["event"] for e in await box.told(LedgerKind.CLOCK_EVENT))
        assert box.file(key).exists()


async def test_law_12_05_a_clock_three_days_back_moves_no_date(world: World) -> None:
    async with world.box() as box:
        await box.sweep()
        key = await box.record()
        row = await box.row(key)
        assert row is not None
        world.clock.advance(5 * 86400)
        await box.sweep()
        world.clock.step_wall(-3 * 86400)
        report = await box.sweep()
        assert "before the retention clock" in report.refused
        (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
        assert told["keep_until"] == "2026-12-02T00:00:00+08:00"
        after = await box.row(key)
        assert after is not None
        assert after.keep_until_us == row.keep_until_us


async def test_law_12_06_jilins_fifteen_days_and_thirty_once_the_place_is_listed(world: World) -> None:
    """I1: outside the list deletable from D+16; the same camera reclassified has its old footage raised to 30."""
    by_age = '[retention]\ngrace = "0d"\nkeep = "floor"\n'
    async with world.box(by_age + OTHER) as box:
        gone = await box.record()
        world.wait_until(shanghai(11, 2, 8))
        old = await box.record()
        assert (await box.sweep_at(shanghai(11, 16, 23, 59, 59))).erased == 0
        assert (await box.sweep_at(shanghai(11, 17))).erased == 1
        assert not box.file(gone).exists()
    async with world.box(by_age + CAMERAS) as box:
        report = await box.sweep_at(shanghai(11, 18))
        assert (report.raised, report.erased) == (1, 0)
        (told,) = (await box.asked("retention", "explain", str(old)))["explanations"]
        assert (told["keep_until"], told["rules"]) == ("2026-12-03T00:00:00+08:00", ["order-799/17"])
        assert (await box.sweep_at(shanghai(12, 2, 23, 59, 59))).erased == 0
        assert (await box.sweep_at(shanghai(12, 3))).erased == 1


async def test_law_12_07_a_rule_pack_that_demands_less_never_reaches_back(world: World, tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    for file in shipped_packs().glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        if file.stem == "jilin":
            text = text.replace("value = 15", "value = 20")
        (packs / file.name).write_text(text, encoding="utf-8")
    own = f'[retention]\ngrace = "0d"\nkeep = "floor"\nrule_packs = "{packs}"\n'
    async with world.box(own + OTHER) as box:
        old = await box.record()
        await box.sweep()
    jilin = packs / "jilin.toml"
    jilin.write_text(jilin.read_text(encoding="utf-8").replace("value = 20", "value = 15"), encoding="utf-8")
    async with world.box(own + OTHER) as box:
        assert [e.body["changed"] for e in await box.told(LedgerKind.RULES_CHANGED) if "changed" in e.body] == [
            ["jilin"]
        ]
        new = await box.record()
        assert (await box.sweep_at(shanghai(11, 17))).erased == 1
        assert (box.file(old).exists(), box.file(new).exists()) == (True, False)
        assert (await box.sweep_at(shanghai(11, 21, 23, 59, 59))).erased == 0
        assert (await box.sweep_at(shanghai(11, 22))).erased == 1


async def test_law_12_08_a_key_target_named_today_keeps_forty_days_old_footage_ninety(world: World) -> None:
    async with world.box(OTHER) as box:
        key = await box.record()
        await box.sweep_at(shanghai(12, 11, 8))  # 40 days on; nothing wanted its space
        assert box.file(key).exists()
    async with world.box(
        '[retention]\nkeep = "floor"\n' + OTHER.replace("[[camera]]", '[[camera]]\ndesignations = ["key_target"]')
    ) as box:
        report = await box.sweep()
        assert (report.raised, report.erased) == (1, 0)
        (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
        assert told["articles"][0] == {
            "rule": "counter-terrorism/32",
            "name": "Counter-Terrorism Law art. 32",
            "text_zh": "采集的视频图像信息保存期限不得少于九十日。",
        }
        assert told["keep_until"] == "2027-01-31T00:00:00+08:00"
        assert (await box.sweep_at(shanghai(1, 30, 23, 59, year=2027))).erased == 0
        assert (await box.sweep_at(shanghai(2, 3, year=2027))).erased == 1


async def test_law_12_09_the_end_of_tangshans_trial_leaves_order_799_and_a_warning(world: World) -> None:
    async with world.box(jurisdiction="tangshan") as box:
        before = await box.asked("law", "explain", "--camera", "cam-a")
        assert (before["floor_days"], before["warnings"]) == (30, [])
        world.wait_until(shanghai(5, 1, 8, year=2027))
        after = await box.asked("law", "explain", "--camera", "cam-a")
        assert (after["floor_days"], after["rules"]) == (30, ["order-799/17"])
        (warning,) = after["warnings"]
        assert "Tangshan 2025 No. 29 ended on 2027-04-30" in warning
        register = (await box.asked("law", "explain", "--camera", "cam-a", "--topic", "register"))["entries"]
        assert {entry["id"]: entry["applies"] for entry in register} == {
            "order-799/16-2-3": True,
            "tangshan-2025-29/27-3": False,
        }
        key = await box.record()
        row = await box.row(key)
        assert row is not None
        assert row.floor.days == 30


@pytest.mark.parametrize("days", [1, 10, 14])
async def test_law_12_10_a_draft_or_a_lapsed_text_never_lowers_a_floor(world: World, tmp_path: Path, days: int) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    for file in shipped_packs().glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        if file.stem in ("changzhou", "weihai"):
            text = re.sub(
                r"value = 30\nunit = \"day\"\ncounting = \"local",
                f'value = {days}\nunit = "day"\ncounting = "local',
                text,
            )
        (packs / file.name).write_text(text, encoding="utf-8")
    for jurisdiction in ("changzhou", "weihai"):
        place = World(tmp_path / jurisdiction)
        place.folder.mkdir()
        async with place.box(f'[retention]\nrule_packs = "{packs}"\n' + OTHER, jurisdiction=jurisdiction) as box:
            law = await box.asked("law", "explain", "--camera", "cam-a")
            assert (law["floor_days"], law["rules"]) == (30, ["edged/default-30"])
            (local,) = [e for e in law["entries"] if e["id"].startswith(jurisdiction)]
            assert (local["value"], local["applies"]) == (days, False)
            assert "does not bind" in local["why"]


async def see_space(box: Box, free_bytes: int) -> None:
    """Until the survey, which measures on threads of its own, has seen so much free."""
    async with asyncio.timeout(20):
        while [volume.free_bytes for volume in box.house.snapshot().volumes] != [free_bytes]:
            await box.house.survey.look()
            await asyncio.sleep(0.005)


async def test_law_12_11_a_disk_full_below_the_floor_stops_recording_as_a_fault_and_deletes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1: what is lost is the newest footage of the least important camera, and it is said."""
    priorities = CAMERAS.replace('id = "cam-b"', 'id = "cam-b"\npriority = 1')
    async with world.box('[retention]\ngrace = "0d"\n' + priorities) as box:
        key = await box.record()
        full = Space(100 * 2**30, 6 * 2**30 // 10)  # of a reserve of 2 GiB
        monkeypatch.setattr(box.house.sweep, "_space", lambda path: full)
        monkeypatch.setattr("edged.app.survey.free_space", lambda path: full)
        world.wait_until(shanghai(11, 30, 8))
        await see_space(box, full.free)
        report = await box.sweep()
        assert (report.erased, list(report.exhausted)) == (0, ["v1"])
        await box.house.pressure.look()
        code, said = await box.edged("status", "--json")
        assert code == 1
        assert "disk_full" in json.loads(said)["problems"]
        stopped = await box.sql("SELECT camera.id FROM space_stop JOIN camera ON camera.no = space_stop.camera")
        assert [row["id"] for row in stopped] == ["cam-b"]
        assert len(await box.told(LedgerKind.CAMERA_STOPPED)) == 1
        assert box.file(key).exists()


async def test_law_12_15_footage_of_day_one_that_arrives_on_day_twenty_nine(world: World) -> None:
    """Declared, counted from when it was recorded, and not deleted before it could be looked at for a day."""
    async with world.box('[retention]\ngrace = "0d"\n' + CAMERAS) as box:
        first_us = world.clock.wall_us()
        await box.sweep_at(first_us + 28 * DAY)
        key = await box.record(end_us=first_us, age_us=28 * DAY)
        (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
        assert told["keep_until"] == "2026-12-02T00:00:00+08:00"
        assert told["late"]["at"] == "2026-11-29T08:00:00+08:00"
        (entry,) = await box.told(LedgerKind.FOOTAGE_LATE)
        assert entry.body == {"camera": "cam-a", "segments": 1, "from_us": key.start_us, "to_us": first_us}
        assert (await box.sweep_at(shanghai(12, 1, 23, 59, 59))).erased == 0
        assert (await box.sweep_at(shanghai(12, 2))).erased == 1
        later = await box.record(end_us=first_us + MINUTE, age_us=world.clock.wall_us() - first_us - MINUTE)
        arrived = world.clock.wall_us()
        assert (await box.sweep_at(arrived + DAY - SECOND)).erased == 0
        assert (await box.sweep_at(arrived + DAY)).erased == 1
        assert not box.file(later).exists()


def test_every_number_is_tested_or_said_to_be_elsewhere() -> None:
    here = Path(__file__).parent
    text = "".join(path.read_text() for path in here.glob("test_law_boundaries*.py"))
    tested = {int(number) for number in re.findall(r"def test_law_12_(\d\d)_", text)}
    assert not tested & set(ELSEWHERE)
    assert tested | set(ELSEWHERE) == set(range(1, 32))
    for reason in ELSEWHERE.values():
        for path in re.findall(r"tests/[\w/]+\.py", reason):
            assert (here.parents[1] / path).is_file(), path
    outages = (here.parent / "unit" / "test_outage_desk.py").read_text()
    assert {int(number) for number in re.findall(r"def test_law_12_(\d\d)_", outages)} == {16, 17, 18}
