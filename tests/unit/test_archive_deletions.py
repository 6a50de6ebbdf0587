"""The ledger's entries about deleted footage: many segments to an entry, an answer for every single one (I3)."""

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.archive.database import open_database, transact
from edged.archive.deletions import Deleted, Going, announce, deleted, digest, named, spare
from edged.archive.ledger import LedgerKind, entries
from edged.archive.segments import SegmentKey
from edged.base.clock import HOUR, MINUTE
from edged.model import StreamKind
from tests.archive_kit import T0

WHY = {"because": "its floor has passed", "rules": ["art-x"]}
HOUR_US = T0 // HOUR * HOUR


def going(minute: int, camera: str = "cam-1", stream: StreamKind = StreamKind.MAIN) -> Going:
    key = SegmentKey(camera, stream, HOUR_US + minute * MINUTE, 1, minute)
    return Going(key, key.start_us + MINUTE, 1000 + minute, hashlib.sha256(f"{minute}".encode()).hexdigest())


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path / "index.sqlite3")
    yield opened
    opened.close()


def look(connection: sqlite3.Connection, minute: int = 0, until: int = 59) -> dict[SegmentKey, Deleted]:
    return deleted(connection, "cam-1", StreamKind.MAIN, HOUR_US + minute * MINUTE, HOUR_US + until * MINUTE)


def test_an_entry_names_every_segment_in_order_and_binds_their_hashes(connection: sqlite3.Connection) -> None:
    seq = transact(connection, announce, [going(3), going(1), going(2)], WHY, 7)
    (entry,) = entries(connection)
    assert (entry.seq, entry.at_us, entry.kind) == (seq, 7, LedgerKind.SEGMENTS_DELETED)
    assert named(entry.body) == [(going(n).key, going(n).end_us) for n in (1, 2, 3)]
    assert entry.body["bytes"] == 3006
    assert entry.body["because"] == WHY["because"]
    hashes = b"".join(hashlib.sha256(text).digest() for text in (b"1", b"2", b"3"))
    assert entry.body["digest"] == digest(going(n).sha256 for n in (1, 2, 3)) == hashlib.sha256(hashes).hexdigest()


def test_each_segment_is_found_by_its_hour_alone(connection: sqlite3.Connection) -> None:
    first = transact(connection, announce, [going(0), going(59)], WHY, 7)
    second = transact(connection, announce, [going(60)], WHY, 8)
    transact(connection, announce, [going(1, camera="cam-2")], WHY, 9)
    transact(connection, announce, [going(1, stream=StreamKind.SUB)], WHY, 9)
    found = look(connection)
    assert {key: (one.seq, one.end_us) for key, one in found.items()} == {
        going(minute).key: (first, going(minute).end_us) for minute in (0, 59)
    }
    assert {one.seq for one in look(connection, 60, 61).values()} == {second}
    assert len(look(connection, 0, 60)) == 3
    assert look(connection, 120, 180) == {}


def test_a_spared_segment_is_not_deleted_and_one_announced_again_has_its_newest_entry(
    connection: sqlite3.Connection,
) -> None:
    first = transact(connection, announce, [going(0), going(1)], WHY, 7)
    transact(connection, spare, going(0).key, "under evidence hold hold-1", 8)
    assert {key: one.seq for key, one in look(connection).items()} == {going(1).key: first}
    again = transact(connection, announce, [going(0)], WHY, 9)
    assert {key: one.seq for key, one in look(connection).items()} == {going(1).key: first, going(0).key: again}
