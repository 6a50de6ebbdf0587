"""A box loses its index and gets it back from its disks: the same holds, ledger, deletions, floors and proofs.

A real daemon and its command line; the footage is a recorder's own files and journals, a month old and a day old.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edged.archive.database import Database
from edged.archive.intake import Intake
from edged.archive.layout import IDENTITY, utc
from edged.archive.segments import SegmentKey
from edged.archive.volumes import open_volumes
from edged.base.clock import DAY, HOUR, MINUTE, ManualClock
from edged.config import load_config
from edged.law.packs import load_packs, shipped_packs
from edged.law.site import SiteLaw
from edged.model import SegmentSealed, StreamKind
from edged.prove.key import open_key
from edged.prove.verify_retention import parse_head
from edged.retain.stamp import Stamper
from edged.retain.timekeeping import tick
from tests.archive_kit import leave_segment, up, write_journal
from tests.box import Box, until

CONFIG = """
[discovery]
enabled = false

[retention]
sweep_every = "1s"

[[camera]]
id = "cam-1"
url = "rtsp://127.0.0.1:9/nobody"
"""
SECOND_VOLUME = """
[[volume]]
id = "v2"
path = "{folder}/v2"
reserve = "1MiB"
"""
OLD_DAYS = 40


class Past:
    """What was recorded on a box: a day so old that the law has it deleted, and yesterday."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.midnight = (time.time_ns() // 1000 + 8 * HOUR) // DAY * DAY - 8 * HOUR  # in Shanghai
        for folder in sorted(box.folder.glob("v[12]")):
            identity = {"v": 1, "volume": folder.name, "uuid": f"uuid-of-{folder.name}"}
            (folder / IDENTITY).write_text(json.dumps(identity))
        self.old = self._day(OLD_DAYS, 24, box.volume)
        self.yesterday: list[SegmentSealed] = []

    async def read_when_it_was_young(self) -> None:
        """The old day enters the index as it did then: what enters it late is kept for longer. Then yesterday comes."""
        box, clock = self.box, ManualClock(self.old[-1].end_us)
        config = load_config(box.config)
        law = SiteLaw(load_packs(shipped_packs()), config.site.jurisdiction, config.site.timezone, 3)
        database = Database(box.state / "index.sqlite3")
        configured = [(volume.id, volume.path) for volume in config.volume]
        volumes = await database.write(open_volumes, configured, clock.wall_us())
        intake = Intake(database, clock, volumes, Stamper(law, clock, config.situation()), law.tz)
        assert await intake.catch_up() == 1 + len(self.old)
        intake.close()
        clock.advance(600)
        await tick(database, clock, lambda: True)
        database.close()
        self.yesterday = self._day(1, 24, box.folder / "v2" if (box.folder / "v2").is_dir() else box.volume)

    def date(self, days_ago: int) -> str:
        return f"{utc(self.midnight - days_ago * DAY + 8 * HOUR):%Y-%m-%d}"

    def _day(self, days_ago: int, hours: int, volume: Path) -> list[SegmentSealed]:
        first = self.midnight - days_ago * DAY
        facts = []
        for number, start in enumerate(range(first, first + hours * HOUR, 10 * MINUTE)):
            key = SegmentKey("cam-1", StreamKind.MAIN, start, 900 + days_ago, number)
            facts.append(leave_segment(volume, key, start + 10 * MINUTE, 500))
        write_journal(volume, [up(first), *facts], at_us=first, recorder="earlier")
        return facts


def segment(fact: SegmentSealed) -> str:
    return f"cam-1/main/{fact.start_us}-{fact.run}-{fact.seq}"


def iso(at_us: int) -> str:
    return f"{utc(at_us):%Y-%m-%dT%H:%M:%S+00:00}"


async def answering(box: Box) -> None:
    box.start()
    await until(lambda: box.edged("ledger", expect=(0, 3)), "the ledger answers")


def standing(box: Box, fact: SegmentSealed) -> dict[str, Any]:
    (told,) = box.edged("retention", "explain", segment(fact), expect=(0, 3))["explanations"]
    return dict(told)


def answers(box: Box, past: Past, folder: Path) -> dict[str, Any]:
    """What people ask, without what is different at every asking."""
    told: dict[str, Any] = {"holds": box.edged("holds", "list", "--all")["holds"]}
    for hold in told["holds"]:
        del hold["evidence"]  # how many links are still to be made changes by the second
    told["segments"] = box.edged("retention", "segments", "cam-1")["segments"]
    told["explain"] = [standing(box, fact) for fact in (past.old[0], past.old[-1], past.yesterday[0])]
    for days_ago in (OLD_DAYS, 1):
        out = folder / f"{days_ago}"
        box.edged("prove", "day", "--camera", "cam-1", "--date", past.date(days_ago), "--out", str(out))
        volumes = [word for volume in sorted(box.folder.glob("v[12]")) for word in ("--files", str(volume))]
        key = str(box.state / "ledger-key.pub.pem")
        script = [sys.executable, "-I", str(out / "verify_retention.py"), str(out), "--key", key, "--json", *volumes]
        report = json.loads(subprocess.run(script, capture_output=True, text=True, check=False, timeout=60).stdout)
        told[f"day {days_ago}"] = {k: v for k, v in report.items() if k not in ("checkpoint", "made")}
    told["problems"] = box.edged("ledger", "verify")["problems"]
    return told


def rebuild(box: Box, *words: str, expect: int = 0) -> Any:
    command = [sys.executable, "-m", "edged", "archive", "rebuild", "--config", str(box.config), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == expect, f"{done.returncode} {done.stdout} {done.stderr}"
    return json.loads(done.stdout) if done.stdout else done.stderr


def on_record(box: Box, fact: SegmentSealed) -> bool:
    return box.edged("ledger", "prove", "--segment", segment(fact), expect=(0, 3, 4)) is not None


def register(box: Box) -> list[Any]:
    """The outages with their deadlines, receipts and people."""
    return list(box.edged("outages", "list", "--all", expect=(0, 1))["outages"])


async def recorded(box: Box) -> Past:
    """A box that has read what was recorded, before anything is due to go; stopped."""
    config = box.config.read_text()
    box.config.write_text(config.replace("[retention]", '[retention]\ngrace = "30d"'))
    past = Past(box)
    await past.read_when_it_was_young()
    await answering(box)
    await until(lambda: on_record(box, past.old[-1]) and on_record(box, past.yesterday[-1]), "all of it is told")
    assert box.end() == 0
    box.config.write_text(config)
    return past


async def lived_in(box: Box, past: Past) -> None:
    """Some of it lawfully deleted, holds placed, extended, half and wholly released; running."""
    await answering(box)
    for person in ("person-b", "person-c"):  # nobody else vouches for forty days that nobody saw
        box.edged("retention", "clock", "confirm", "--by", person)
    first = iso(past.yesterday[0].start_us)
    body = ["--case", "1", "--authority", "police", "--document", "7", "--by", "person-a", "--remind-on", "2099-11-01"]
    for _ in range(3):
        box.edged("holds", "place", "cam-1", "--from", first, "--to", iso(past.yesterday[9].end_us), *body)
    wider = ("--to", iso(past.yesterday[20].end_us), "--document", "8", "--by", "person-a")
    box.edged("holds", "extend", "hold-1", *wider, "--remind-on", "2099-12-01")
    box.edged("holds", "release", "hold-2", "--by", "person-b")
    for person in ("person-b", "person-c"):
        box.edged("holds", "release", "hold-3", "--by", person)
    await until(lambda: standing(box, past.old[-1])["standing"] == "deleted", "the old day is swept")
    await until(lambda: standing(box, past.old[0])["standing"] == "deleted", "all of it")
    await until(lambda: list(box.folder.glob("v?/held/hold-1/segments/*/*/*")), "evidence is linked")


def lose(box: Box) -> None:
    for file in box.state.glob("index.sqlite3*"):
        file.unlink()


def damage(box: Box) -> None:
    lose(box)
    (box.state / "index.sqlite3").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)


@pytest.mark.parametrize("harm", [lose, damage])
async def test_i1_i2_i3_a_rebuilt_index_gives_the_same_answers(tmp_path: Path, harm: Callable[[Box], None]) -> None:
    with Box(tmp_path, CONFIG) as box:
        past = await recorded(box)
        await lived_in(box, past)
        before = answers(box, past, tmp_path / "before")
        assert [hold["state"] for hold in before["holds"]] == ["in force", "half released", "released"]
        assert [one["standing"] for one in before["explain"]] == ["deleted", "deleted", "kept"]
        assert before[f"day {OLD_DAYS}"]["verdict"] == "DELETED_AFTER_FLOOR"
        assert before["day 1"]["verdict"] == "COMPLETE"
        (outage,) = await until(lambda: register(box), "a camera that never delivered is an outage")
        for addressee, person in (("repair-unit", "engineer on duty"), ("superior-department", "officer on duty")):
            box.edged("outages", "report", outage["id"], "--to", addressee, "--received-by", person)
        box.edged("outages", "attended", outage["id"], "--by", "repair person")
        outages = register(box)
        old_head = tmp_path / "head"
        old_head.write_text(box.edged("ledger", "head")["checkpoint"])
        assert rebuild(box, expect=4) == rebuild(box, expect=4)  # while the daemon runs, nothing is touched
        assert box.end() == 0
        harm(box)
        files = {path: path.read_bytes() for path in box.volume.glob("segments/*/*/*")}
        plan = rebuild(box, "--dry-run")
        assert plan["found"]["volumes"][0]["journalled"] == len(past.old) + len(past.yesterday)
        assert plan["found"]["volumes"][0]["segments"] == len(past.yesterday)
        assert (box.state / "index.sqlite3").exists() == (harm is damage)
        told = rebuild(box)["rebuilt"]
        assert (told["deleted"], told["segments"], told["holds"]) == (len(past.old), len(past.yesterday), 2)
        assert (told["aside"] is not None) == (harm is damage)
        assert {path: path.read_bytes() for path in box.volume.glob("segments/*/*/*")} == files
        sound = rebuild(box, "--dry-run")["found"]
        assert (sound["index"], sound["why"]) == ("readable", ""), "with its holds"
        await answering(box)
        assert box.edged("ledger", "consistency", str(old_head))["good"]
        assert register(box) == outages, "I5: the register of outages is not lost with the state disk"
        assert answers(box, past, tmp_path / "after") == before
        assert box.end() == 0


async def test_i1_i2_an_old_copy_of_the_index_catches_up_by_itself(tmp_path: Path) -> None:
    """No command: a start finds that the volumes know more, carries it out again, and deletes nothing before."""
    with Box(tmp_path, CONFIG) as box:
        past = await recorded(box)
        saved = (box.state / "index.sqlite3").read_bytes()
        await lived_in(box, past)
        before = answers(box, past, tmp_path / "before")
        assert box.end() == 0
        lose(box)
        (box.state / "index.sqlite3").write_bytes(saved)
        await answering(box)
        await until(
            lambda: len(box.edged("retention", "segments", "cam-1")["segments"]) == 144, "the journals are read"
        )
        assert answers(box, past, tmp_path / "after") == before
        assert box.end() == 0


async def test_i1_i2_nothing_is_deleted_while_one_of_two_volumes_is_away(tmp_path: Path) -> None:
    with Box(tmp_path, CONFIG + SECOND_VOLUME.format(folder=tmp_path)) as box:
        (tmp_path / "v2").mkdir()
        past = await recorded(box)
        await lived_in(box, past)
        before = answers(box, past, tmp_path / "before")
        assert box.end() == 0
        lose(box)
        os_away = tmp_path / "away"
        shutil.move(tmp_path / "v2", os_away)
        (tmp_path / "v2").mkdir()
        told = rebuild(box, expect=1)
        assert any("volume v2 cannot be read" in problem for problem in told["missing"])
        assert told["rebuilt"]["holds"] == 2, "the other volume's copy of the ledger knows the holds"
        await answering(box)
        await until(lambda: "nothing is deleted" in box.log() and "volume v2" in box.log(), "retention is read-only")
        await until(
            lambda: "archive_incomplete" in box.edged("status", expect=(0, 1))["problems"], "the health says so"
        )
        asked = box.edged("retention", "explain", "--camera", "cam-1", "--at", iso(past.yesterday[0].start_us))
        assert asked["unread"] == ["v2"], "what may lie there is not called never recorded"
        assert box.end(signal.SIGTERM) == 0
        (tmp_path / "v2").rmdir()
        shutil.move(os_away, tmp_path / "v2")
        await answering(box)
        await until(lambda: len(box.edged("retention", "segments", "cam-1")["segments"]) == 144, "v2 is read")
        assert answers(box, past, tmp_path / "after") == before
        assert box.end() == 0


async def test_the_key_is_lost_with_the_state_disk(tmp_path: Path) -> None:
    """Without the old public key nothing is believed that keeps less; with it, kept elsewhere, all is as it was."""
    with Box(tmp_path, CONFIG) as box:
        past = await recorded(box)
        await lived_in(box, past)
        before = answers(box, past, tmp_path / "before")
        old_head, old_key = tmp_path / "head", tmp_path / "old.pem"
        old_head.write_text(box.edged("ledger", "head")["checkpoint"])
        shutil.copyfile(box.state / "ledger-key.pub.pem", old_key)
        assert box.end() == 0
        shutil.rmtree(box.state)
        doubted = rebuild(box, expect=1)
        assert doubted["rebuilt"]["holds"] == 3, "a release that no key answers for releases nothing"
        assert any("--old-key" in problem for problem in doubted["missing"])
        assert any("gone without a deletion on record" in problem for problem in doubted["missing"])

        told = rebuild(box, "--old-key", str(old_key))
        assert (told["rebuilt"]["deleted"], told["rebuilt"]["holds"]) == (len(past.old), 2)
        new_key = box.state / "ledger-key.pub.pem"
        assert new_key.read_bytes() != old_key.read_bytes()
        await answering(box)
        after = answers(box, past, tmp_path / "after")
        for told in (before, after):
            for day in ("day 1", f"day {OLD_DAYS}"):
                del told[day]["key"]
        assert after == before

        words = ("ledger", "consistency", str(old_head))
        assert box.edged(*words, "--old-key", str(old_key), "--key", str(new_key))["good"]
        assert box.edged(*words, expect=(1,)) is None, "not under the new key"
        proof = tmp_path / "after" / "1"
        script = [sys.executable, "-I", str(proof / "verify_retention.py"), str(proof), "--json"]

        def checked(*keys: Path) -> dict[str, Any]:
            given = [word for key in keys for word in ("--key", str(key))]
            done = subprocess.run([*script, *given], capture_output=True, text=True, check=False, timeout=60)
            return dict(json.loads(done.stdout))

        both = checked(new_key, old_key)
        assert both["verdict"] == "COMPLETE", both["findings"]
        (earlier,) = both["earlier_keys"]
        assert earlier["entries"] >= parse_head(old_head.read_text()).size
        assert both == checked(old_key, new_key)
        alone = checked(old_key)
        assert alone["verdict"] == "ALTERED"
        assert "give both with --key" in alone["findings"][0]
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        open_key(stranger, "x")
        wrong = checked(new_key, stranger / "ledger-key.pub.pem")
        assert "nothing in this ledger is signed by the key" in wrong["findings"][0]
        assert box.end() == 0


async def test_i2_forged_files_on_a_volume_are_told_and_make_nothing_shorter(tmp_path: Path) -> None:
    """A torn mirror line, a hold.json that covers less, one that is nonsense, and a release that nobody signed."""
    with Box(tmp_path, CONFIG) as box:
        past = await recorded(box)
        await lived_in(box, past)
        before = answers(box, past, tmp_path / "before")
        assert box.end() == 0
        lose(box)
        mirror = box.volume / "ledger" / "box" / "000000000001.ndjson"
        seq = json.loads(mirror.read_bytes().splitlines()[-1])["seq"]
        forged = {"at_us": 1, "body": {"hold": "hold-1", "first": "x", "second": "y"}, "kind": "hold_released"}
        first = {"at_us": 1, "body": {"hold": "hold-1", "by": "x"}, "kind": "hold_release_first"}
        with mirror.open("ab") as lines:
            for number, entry in enumerate((first, forged), start=seq + 1):
                lines.write(
                    json.dumps({**entry, "seq": number}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
                )
            lines.write(b'{"at_us":1,"bo')
        sidecar = box.volume / "held" / "hold-1" / "hold.json"
        told = json.loads(sidecar.read_bytes())
        sidecar.write_text(json.dumps({**told, "end_us": told["start_us"] + 1}))
        bad = box.volume / "held" / "hold-01" / "hold.json"
        bad.parent.mkdir()
        bad.write_text(json.dumps({**told, "hold": "hold-01", "cameras": ["../../etc"]}))
        told = rebuild(box, expect=1)
        assert any("hold-01/hold.json cannot be understood" in problem for problem in told["missing"])
        await answering(box)
        after = answers(box, past, tmp_path / "after")
        assert after["holds"] == before["holds"], "hold-1 is in force, over its whole span"
        assert after["explain"] == before["explain"]
        assert box.end() == 0
