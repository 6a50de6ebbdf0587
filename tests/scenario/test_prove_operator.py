"""A whole box and its command line: heads kept elsewhere, proofs of a segment and a day, a ledger cut and found out."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edged.archive.layout import segment_path, utc
from edged.archive.segments import SegmentKey
from edged.base.clock import DAY, HOUR, MINUTE
from edged.model import SegmentSealed, StreamKind
from edged.prove.verify_retention import parse_head
from tests.archive_kit import leave_segment, up, write_journal
from tests.box import Box, until
from tests.proving import spoil

CAMERA = """
[discovery]
enabled = false

[[camera]]
id = "cam-1"
name = "north gate"
url = "rtsp://127.0.0.1:9/nobody"
"""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path, CAMERA)


def yesterday(box: Box) -> tuple[str, list[SegmentSealed]]:
    """A day on disk as a recorder leaves it: files, and the journal that names them. Returns the local date."""
    midnight = (time.time_ns() // 1000 + 8 * HOUR) // DAY * DAY - 8 * HOUR - DAY  # in Shanghai
    facts = []
    for number, start in enumerate(range(midnight - HOUR, midnight + DAY, 10 * MINUTE)):
        key = SegmentKey("cam-1", StreamKind.MAIN, start, 900, number)
        facts.append(leave_segment(box.volume, key, start + 10 * MINUTE, 700))
    write_journal(box.volume, [up(midnight - HOUR), *facts], at_us=midnight, recorder="earlier")
    return f"{utc(midnight + 8 * HOUR):%Y-%m-%d}", facts


async def answering(box: Box) -> None:
    await until(lambda: box.edged("ledger", expect=(0, 3)), "the ledger answers")


async def test_an_inspector_comes(box: Box, tmp_path: Path) -> None:
    with box:
        box.start()
        await answering(box)
        assert box.end() == 0
        date, facts = yesterday(box)
        box.start()
        await answering(box)
        segment = f"cam-1/main/{facts[50].start_us}-900-50"
        proof = await until(
            lambda: box.edged("ledger", "prove", "--segment", segment, expect=(0, 3, 4)), "the hour is told"
        )
        assert proof["good"]
        assert proof["sha256"] == facts[50].sha256
        assert proof["tlog_proof"].startswith(f"c2sp.org/tlog-proof@v1\nindex {proof['seq'] - 1}\n")
        assert box.edged("ledger", "prove", "--segment", "cam-1/main/5-1-1", expect=(4,)) is None

        out = tmp_path / "bundle"
        box.edged("prove", "day", "--camera", "cam-1", "--date", date, "--out", str(out))
        box.edged("prove", "day", "--camera", "cam-1", "--date", date, "--out", str(out), expect=(2,))
        key = box.state / "ledger-key.pub.pem"
        script = [sys.executable, "-I", str(out / "verify_retention.py"), str(out), "--key", str(key), "--json"]
        done = subprocess.run(
            [*script, "--files", str(box.volume)], capture_output=True, text=True, check=False, timeout=60
        )
        report = json.loads(done.stdout)
        assert (done.returncode, report["verdict"], report["hashed"]) == (0, "COMPLETE", 144), done.stdout
        for path in out.iterdir():
            assert "127.0.0.1" not in path.read_text(), "I9"
            assert "north gate" not in path.read_text(), "I9"

        assert box.edged("archive", "scrub")["findings"] == []
        assert box.edged("archive", "scrub", "--segment", segment)["found"] == {segment: "sound"}
        spoil(box.volume / segment_path("cam-1", StreamKind.MAIN, facts[50].start_us, 900, 50), 3)
        found = box.edged("archive", "scrub", "--camera", "cam-1", "--date", date, expect=(1,))["found"]
        assert {what for name, what in found.items() if name != segment} == {"sound"}
        assert found[segment] == "altered"
        assert [one["segment"] for one in box.edged("archive", "scrub", expect=(1,))["findings"]] == [segment]
        await until(lambda: "footage_altered" in box.edged("status", expect=(0, 1))["problems"], "the health says so")

        old = tmp_path / "old-head"
        old.write_text(box.edged("ledger", "head")["checkpoint"])
        assert box.edged("ledger", "verify")["problems"] == []
        assert box.end() == 0
        mirror = str(box.volume / "ledger" / "box")
        assert box.edged("ledger", "verify", "--mirror", mirror, "--key", str(key))["good"]

        box.start()
        await answering(box)
        told = box.edged("ledger", "consistency", str(old), "--key", str(key))
        assert told["good"]
        assert told["new_size"] > told["old_size"] == parse_head(old.read_text()).size
        assert box.end() == 0


async def test_law_29_a_box_whose_ledger_was_cut_is_found_out(box: Box, tmp_path: Path) -> None:
    """LAW.md section 12, 29: cut in the index and on every volume; only the head kept elsewhere is left to tell."""
    with box:
        box.start()
        await answering(box)
        assert box.end() == 0
        box.start()
        await answering(box)
        old = tmp_path / "old-head"
        old.write_text(box.edged("ledger", "head")["checkpoint"])
        assert box.end() == 0
        connection = sqlite3.connect(box.state / "index.sqlite3")
        guards = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")]
        for name in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM ledger_topic WHERE seq > 5")
        connection.execute("DELETE FROM ledger WHERE seq > 5")
        connection.execute("DELETE FROM ledger_checkpoint")
        connection.commit()
        connection.close()
        for copy in (box.volume / "ledger" / "box").iterdir():
            copy.unlink()
        box.start()
        await answering(box)
        assert box.edged("ledger", "verify")["problems"] == [], "the box itself has nothing left to compare with"
        told = box.edged("ledger", "consistency", str(old), expect=(1,))
        assert not told["good"]


async def test_an_index_put_back_beside_its_copies_loses_nothing(box: Box) -> None:
    """An old copy of the index is no way to forget: the volumes have the entries, and they come back."""
    with box:
        box.start()
        await answering(box)
        assert box.end() == 0
        saved = (box.state / "index.sqlite3").read_bytes()
        box.start()
        await answering(box)
        box.edged("cameras", "remove", "cam-1", "--by", "someone", expect=(0, 2, 4))
        assert box.end() == 0
        before = (box.volume / "ledger" / "box" / "000000000001.ndjson").read_bytes()
        for leftover in box.state.glob("index.sqlite3*"):
            leftover.unlink()
        (box.state / "index.sqlite3").write_bytes(saved)
        box.start()
        await answering(box)
        assert box.edged("ledger", "verify")["problems"] == []
        assert box.end() == 0
        after = (box.volume / "ledger" / "box" / "000000000001.ndjson").read_bytes()
        assert after.startswith(before)
        assert b'"kind":"ledger_restored"' in after
