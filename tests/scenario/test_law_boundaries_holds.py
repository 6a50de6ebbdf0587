"""The boundaries of the law about holds, evidence of what was done, the ledger, and the deletions that must not exist.

Numbered as in the requirements' list of boundary tests; see test_law_boundaries for the others.
"""

import asyncio
import contextlib
import http.client
import io
import itertools
import json
import os
import shutil
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.reconcile import reconcile
from edged.archive.schema import SEALED
from edged.archive.segments import SegmentKey
from edged.base.clock import HOUR, MINUTE
from edged.cli import build_parser
from edged.law.entry import Topic
from tests.law_box import CAMERAS, Box, World, shanghai

AT_ONCE = '[retention]\ngrace = "0d"\n' + CAMERAS


@pytest.fixture
def world(tmp_path: Path) -> World:
    """2026-11-01 08:00 in Shanghai, in Jilin, at a listed place."""
    return World(tmp_path)


async def test_law_12_12_a_hold_placed_a_second_before_the_sweep_wins(world: World) -> None:
    """I2."""
    async with world.box(AT_ONCE) as box:
        key = await box.record()
        assert (await box.sweep_at(shanghai(12, 1, 23, 59, 58))).erased == 0
        world.wait_until(shanghai(12, 1, 23, 59, 59))
        await box.hold("cam-a", shanghai(11, 1), shanghai(11, 2))
        assert (await box.sweep_at(shanghai(12, 2))).erased == 0
        assert (await box.sweep_at(shanghai(12, 20))).erased == 0
        assert box.file(key).exists()
        (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
        assert told["because"] == "under evidence hold hold-1"


async def test_law_12_12_a_hold_placed_during_the_sweep_keeps_all_that_it_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I2: asked for while the tenth of sixty files is going, it stops the pass there; what it found stays."""
    async with world.box(AT_ONCE) as box:
        keys = [await box.record(end_us=world.clock.wall_us() + n * MINUTE) for n in range(60)]
        world.wait_until(shanghai(12, 10))
        gate, unlink, reached, gone = box.house.sweep._gate, os.unlink, threading.Event(), itertools.count(1)

        def slow(path: Path) -> None:
            if path.suffix == ".mp4" and next(gone) == 10:
                reached.set()
                for _ in range(500):
                    if gate.stop_asked():
                        break
                    time.sleep(0.01)
            unlink(path)

        monkeypatch.setattr("edged.retain.disk.os.unlink", slow)
        sweeping = asyncio.create_task(box.sweep())
        assert await asyncio.to_thread(reached.wait, 20)
        await box.hold("cam-a", shanghai(11, 1))
        there = [key for key in keys if box.file(key).exists()]
        assert len(there) == 50
        await sweeping
        await box.sweep()
        assert [key for key in keys if box.file(key).exists()] == there
        for key in there:
            row = await box.row(key)
            assert row is not None
            assert row.state == SEALED


async def test_law_12_13_a_hold_released_past_the_floor_is_deleted_with_its_record(world: World) -> None:
    async with world.box(AT_ONCE) as box:
        key = await box.record()
        hold = await box.hold("cam-a", shanghai(11, 1), shanghai(11, 2))
        await box.sweep_at(shanghai(12, 31))
        await box.asked("holds", "release", hold, "--by", "second officer")
        assert (await box.sweep()).erased == 0
        code, said = await box.edged("holds", "release", hold, "--by", "Second Officer ")
        assert code == 4, said
        assert (await box.sweep()).erased == 0
        await box.asked("holds", "release", hold, "--by", "third officer")
        assert (await box.sweep()).erased == 1
        assert not box.file(key).exists()
        kinds = [
            LedgerKind.HOLD_PLACED,
            LedgerKind.HOLD_RELEASE_FIRST,
            LedgerKind.HOLD_RELEASED,
            LedgerKind.SEGMENTS_DELETED,
        ]
        assert [entry.kind for entry in await box.told(*kinds)] == kinds
        (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
        assert told["standing"] == "deleted"
        assert told["rules"] == ["order-799/17", "order-799/17-delete"]


async def test_law_12_14_every_way_of_meddling_leaves_its_evidence(world: World) -> None:
    """Removal, enrolment under the same name, other settings, root's rm, a formatted disk: each is on record."""
    async with world.box(AT_ONCE) as box:
        await box.sweep()
        keys = [await box.record(), await box.record("cam-b")]
        await box.asked("cameras", "remove", "cam-b", "--by", "administrator")
        await box.asked("cameras", "adopt", "cam-b", "--by", "administrator")
        turns = await box.told(LedgerKind.CAMERA_REMOVED, LedgerKind.CAMERA_ADOPTED)
        assert [(e.kind, e.body["by"]) for e in turns[-2:]] == [
            (LedgerKind.CAMERA_REMOVED, "administrator"),
            (LedgerKind.CAMERA_ADOPTED, "administrator"),
        ]
        assert (await box.asked("retention", "explain", str(keys[1])))["explanations"][0]["standing"] == "kept"
        box.file(keys[0]).unlink()
        world.clock.advance(86400)
        await reconcile(box.house.database, box.house.volumes, world.clock, settle=box.house.intake.catch_up)
        (missing,) = await box.told(LedgerKind.FOOTAGE_MISSING)
        assert missing.body["segments"] == [str(keys[0])]
        (told,) = (await box.asked("retention", "explain", str(keys[0])))["explanations"]
        assert told["standing"] == "missing"
        assert "it must not have gone" in told["because"]
    first, second = CAMERAS.split("[[camera]]")[1:]
    assert "cam-b" in second
    async with world.box(f'[retention]\ngrace = "1d"\nkeep = "floor"\n[[camera]]{first}') as box:
        (changed,) = [e for e in await box.told(LedgerKind.CONFIG_CHANGED) if "changed" in e.body]
        assert {"retention.grace", "retention.keep"} <= set(changed.body["changed"])
        gone = (await box.told(LedgerKind.CAMERA_REMOVED))[-1]
        assert gone.body == {"camera": "cam-b", "by": "configuration"}
        assert box.file(keys[1]).exists()
    for thing in (world.folder / "v1").iterdir():
        shutil.rmtree(thing) if thing.is_dir() else thing.unlink()
    async with world.box(AT_ONCE) as box:
        (volume,) = json.loads((await box.edged("status", "--json"))[1])["volumes"]
        assert "VOLUME.json is missing" in volume["reason"]
        assert (await box.sweep_at(shanghai(12, 20))).erased == 0
        (told,) = (await box.asked("retention", "explain", str(keys[1])))["explanations"]
        assert "VOLUME.json is missing" in told["volume_lacking"]
        assert await box.told(LedgerKind.SEGMENTS_DELETED) == []
        assert len(await box.told(LedgerKind.DAEMON_START)) == 3


async def test_law_12_29_an_old_head_finds_out_a_shortened_ledger(world: World) -> None:
    """Index and copies are put back to an earlier state, and the box goes on as if nothing had been since."""
    async with world.box(AT_ONCE) as box:
        await box.record()
        await box.sweep()
        await box.house.proofs.finish()
    earlier = world.folder / "earlier"
    for part in ("state", "v1"):
        shutil.copytree(world.folder / part, earlier / part)
    async with world.box(AT_ONCE) as box:
        await box.hold("cam-a", shanghai(11, 1))
        await box.house.proofs.finish()
        old = world.folder / "old-head"
        old.write_text((await box.asked("ledger", "head"))["checkpoint"])
        code, said = await box.edged("ledger", "consistency", str(old))
        assert code == 0, said
    for part in ("state", "v1"):
        shutil.rmtree(world.folder / part)
        shutil.copytree(earlier / part, world.folder / part)
    async with world.box(AT_ONCE) as box:
        assert await box.told(LedgerKind.HOLD_PLACED) == []
        code, said = await box.edged("ledger", "consistency", str(old))
        assert code == 1
        assert "does not continue the old head" in said


# --- deletions that must not exist -----------------------------------------------------------------------------------


def ask(box: Box, method: str, path: str, body: dict[str, object] | None = None) -> int:
    """A request by hand to the API's socket; its status."""
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(box.world.folder / "run" / "api.sock"))
    with contextlib.closing(connection):
        payload = json.dumps({} if body is None else body)
        connection.request(method, path, body=payload, headers={"Content-Type": "application/json"})
        return connection.getresponse().status


async def assert_no_path_deletes(box: Box, key: SegmentKey) -> None:
    """Neither API nor command line nor the index itself lets go of a segment below its floor."""
    for method in ("DELETE", "PUT", "PATCH", "POST"):
        for path in (
            f"/v1/segments/{key}",
            "/v1/segments",
            f"/v1/retention/{key}",
            "/v1/retention/explain",
            "/v1/erase",
        ):
            assert await asyncio.to_thread(ask, box, method, path) in (404, 405), (method, path)
    for words in (
        ["segments", "delete"],
        ["retention", "erase"],
        ["retention", "delete"],
        ["archive", "erase"],
        ["erase"],
    ):
        with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            build_parser().parse_args([*words, str(key)])
    for attempt in (
        "UPDATE segment SET state = 2",
        "DELETE FROM segment",
        "UPDATE segment SET state = 2, keep_until_us = 0",
        "UPDATE segment SET keep_until_us = start_us",
        "UPDATE OR REPLACE segment SET state = 2",
        "UPDATE retention_clock SET retention_us = 0",
        "DELETE FROM floor",
        "UPDATE floor SET days = 1",
        "DELETE FROM camera",
        "DELETE FROM ledger",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            await box.sql(attempt)
    assert (await box.sweep()).erased == 0
    assert box.file(key).exists()
    (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
    assert (told["standing"], told["because"]) == ("kept", "below its floor of 30 days under order-799/17")


async def test_law_12_30_an_erasure_asked_for_before_the_floor_deletes_nothing(world: World) -> None:
    """I1, PIPL art. 47: during a statutory period footage is stored and protected, and that is all.

    Nothing shows or hands out footage yet, so that what is asked to be erased is restricted as it is.
    """
    async with world.box(AT_ONCE) as box:
        await box.sweep()
        key = await box.record()
        await box.sweep_at(shanghai(11, 20, 8))
        await assert_no_path_deletes(box, key)
        rows = (await box.asked("retention", "segments", "cam-a"))["segments"]
        assert [row["id"] for row in rows] == [str(key)]
        assert (await box.sweep_at(shanghai(12, 2))).erased == 1


async def test_law_12_31_there_is_no_supervised_deletion_and_nothing_imitates_one(world: World) -> None:
    """I1: footage of a forbidden area goes below its floor by a police order alone, and edged has no such act yet."""
    async with world.box(AT_ONCE) as box:
        await box.sweep()
        key = await box.record()
        law = await box.asked("law", "explain", "--camera", "cam-a", "--topic", Topic.FORBIDDEN)
        assert {e["id"] for e in law["entries"] if e["applies"]} >= {"jilin-236/10-5", "order-799/8-3"}
        await assert_no_path_deletes(box, key)
        # Taking the camera away, as such an order would also demand, leaves its footage where it is.
        await box.asked("cameras", "remove", "cam-a", "--by", "police order 17")
        assert (await box.sweep_at(world.clock.wall_us() + HOUR)).erased == 0
        await assert_no_path_deletes(box, key)


def test_no_command_is_named_after_an_erasure() -> None:
    """A later supervised deletion has to come here, and say what it demands."""
    names = set()
    waiting = [build_parser()]
    while waiting:
        for action in waiting.pop()._actions:
            choices = getattr(action, "choices", None)
            if isinstance(choices, dict):
                names |= set(choices)
                waiting += choices.values()
    assert {"holds", "explain", "release"} <= names
    assert not {name for name in names if any(word in name for word in ("erase", "delete", "purge", "wipe", "destroy"))}
