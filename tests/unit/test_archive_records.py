"""Ledger entries, the roster and its turns, segment ids, rows and totals."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.archive import roster, segments
from edged.archive.database import open_database, transact
from edged.archive.indexing import index_facts
from edged.archive.ledger import LedgerKind, append, entries
from edged.base.clock import DAY, MINUTE
from edged.base.spans import Span
from edged.model import CameraState, Situation, StreamKind
from tests.archive_kit import (
    SHANGHAI,
    T0,
    TOLD_FIRST,
    TOLD_RELEASE,
    execute_all,
    make_volume,
    put_hold,
    row_of_segments,
    sealed,
    stamp,
    told_going,
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "index.db")
    yield connection
    connection.close()


# --- ledger ----------------------------------------------------------------------------------------------------------


def test_entries_are_numbered_without_holes_and_hashed_as_rfc_6962_leaves(connection: sqlite3.Connection) -> None:
    assert [append(connection, T0 + i, LedgerKind.CLOCK_EVENT, {"b": i, "a": "电"}) for i in range(3)] == [1, 2, 3]
    last = entries(connection, after=2)[0]
    expected = f'\0{{"at_us":{T0 + 2},"body":{{"a":"电","b":2}},"kind":"clock_event","seq":3}}'.encode()
    assert last.leaf == hashlib.sha256(expected).digest()
    assert (last.seq, last.kind, last.body) == (3, LedgerKind.CLOCK_EVENT, {"b": 2, "a": "电"})
    assert [entry.seq for entry in entries(connection, after=0, limit=2)] == [1, 2]


def test_i3_an_act_that_fails_leaves_no_entry(connection: sqlite3.Connection) -> None:
    def act(connection: sqlite3.Connection) -> None:
        append(connection, T0, LedgerKind.SEGMENTS_DELETED, {})
        raise LookupError

    with pytest.raises(LookupError):
        transact(connection, act)
    assert entries(connection) == []


def test_a_body_that_is_not_json_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError):
        append(connection, T0, LedgerKind.CLOCK_EVENT, {"x": float("nan")})
    with pytest.raises(TypeError):
        append(connection, T0, LedgerKind.CLOCK_EVENT, {"x": b"raw"})
    assert entries(connection) == []


# --- roster ----------------------------------------------------------------------------------------------------------


def found(
    connection: sqlite3.Connection, camera_id: str = "cam-1", at_us: int = T0, **changes: object
) -> roster.Camera:
    fields: dict[str, object] = {
        "source": "onvif",
        "situation": Situation("listed"),
        "endpoint_reference": f"urn:uuid:{camera_id}",
    }
    return roster.upsert_found(connection, camera_id, at_us=at_us, **{**fields, **changes})  # type: ignore[arg-type]


def test_a_camera_seen_again_keeps_row_state_and_what_is_not_told_anew(connection: sqlite3.Connection) -> None:
    first = found(connection, serial="S1", name="door", details={"url": "rtsp://secret/1"})
    roster.adopt(connection, "cam-1", T0 + 1)
    again = found(connection, at_us=T0 + 5, details={"url": "rtsp://secret/2"}, clock_offset_us=-7)
    assert (again.no, again.state, again.found_us, again.seen_us) == (first.no, CameraState.ADOPTED, T0, T0 + 5)
    assert (again.serial, again.name, again.clock_offset_us) == ("S1", "door", -7)
    assert again.details == {"url": "rtsp://secret/2"}
    assert roster.find_by_endpoint(connection, "urn:uuid:cam-1") == again


def test_i9_a_printed_camera_shows_no_secret(connection: sqlite3.Connection) -> None:
    camera = found(connection, serial="S-SECRET", name="north gate", details={"url": "rtsp://x", "model": "M-1"})
    shown = repr(camera)
    assert "cam-1" in shown
    for secret in ("S-SECRET", "north gate", "rtsp", "M-1", "urn:uuid"):
        assert secret not in shown
    roster.adopt(connection, "cam-1", T0)
    assert "SECRET" not in json.dumps([entry.body for entry in entries(connection)])


def test_two_cameras_cannot_share_an_endpoint_reference(connection: sqlite3.Connection) -> None:
    found(connection, "cam-1")
    with pytest.raises(roster.CameraConflict, match=r"cam-2 and camera cam-1"):
        found(connection, "cam-2", endpoint_reference="urn:uuid:cam-1")
    assert roster.find(connection, "cam-2") is None


def test_adoption_removal_and_adoption_again_are_one_row_and_three_entries(connection: sqlite3.Connection) -> None:
    no = found(connection).no
    roster.adopt(connection, "cam-1", T0 + 1)
    roster.adopt(connection, "cam-1", T0 + 2)
    gone = roster.remove(connection, "cam-1", T0 + 3)
    roster.remove(connection, "cam-1", T0 + 4)
    assert (gone.state, gone.removed_us) == (CameraState.REMOVED, T0 + 3)
    back = roster.adopt(connection, "cam-1", T0 + 5)
    assert (back.no, back.state, back.adopted_us, back.removed_us) == (no, CameraState.ADOPTED, T0 + 1, None)
    assert [(entry.kind, entry.at_us) for entry in entries(connection)] == [
        (LedgerKind.CAMERA_ADOPTED, T0 + 1),
        (LedgerKind.CAMERA_REMOVED, T0 + 3),
        (LedgerKind.CAMERA_ADOPTED, T0 + 5),
    ]
    with pytest.raises(roster.UnknownCamera):
        roster.adopt(connection, "cam-9", T0)
    assert [camera.id for camera in roster.cameras(connection, CameraState.ADOPTED)] == ["cam-1"]
    assert roster.cameras(connection, CameraState.FOUND) == []


def test_i2_a_held_camera_is_not_removed_until_two_people_released_it(connection: sqlite3.Connection) -> None:
    assert found(connection).no == 1
    roster.adopt(connection, "cam-1", T0)
    put_hold(connection)
    with pytest.raises(roster.CameraHeld, match="hold-1"):
        roster.remove(connection, "cam-1", T0)
    execute_all(connection, *TOLD_FIRST, *TOLD_RELEASE)
    connection.execute("UPDATE hold SET release1_by = 'ann', release1_us = 1")
    with pytest.raises(roster.CameraHeld):
        roster.remove(connection, "cam-1", T0)
    connection.execute("UPDATE hold SET release2_by = 'bob', released_us = 2")
    assert roster.remove(connection, "cam-1", T0).state is CameraState.REMOVED


def test_a_camera_only_the_journal_knows_is_adopted_since_its_earliest_fact(connection: sqlite3.Connection) -> None:
    with pytest.raises(roster.UnknownCamera):
        roster.camera_no(connection, "cam-7")
    no = roster.camera_no(connection, "cam-7", create_from_journal_at_us=T0)
    assert roster.camera_no(connection, "cam-7", create_from_journal_at_us=T0 + 5) == no
    assert roster.camera_no(connection, "cam-7", create_from_journal_at_us=T0 - 5) == no
    camera = roster.get(connection, "cam-7")
    assert (camera.source, camera.state, camera.adopted_us, camera.situation.place) == (
        "journal",
        CameraState.ADOPTED,
        T0 - 5,
        "listed",
    )
    known = found(connection, "cam-1")
    assert roster.camera_no(connection, "cam-1", create_from_journal_at_us=1) == known.no
    assert roster.get(connection, "cam-1") == known


# --- segments --------------------------------------------------------------------------------------------------------


@given(
    camera=st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True),
    stream=st.sampled_from(StreamKind),
    numbers=st.tuples(*[st.integers(0, 10**17)] * 3),
)
def test_a_segment_id_reads_back(camera: str, stream: StreamKind, numbers: tuple[int, int, int]) -> None:
    key = segments.SegmentKey(camera, stream, *numbers)
    assert segments.parse_id(str(key)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cam",
        "cam/main/1-2",
        "cam/third/1-2-3",
        "../main/1-2-3",
        "a/b/main/1-2-3",
        "cam/main/1-2-3\n",
        "cam/main/-1-2-3",
    ],
)
def test_what_is_no_segment_id_is_refused(text: str) -> None:
    with pytest.raises(segments.BadSegmentId):
        segments.parse_id(text)


def test_rows_by_span_page_by_page_and_their_files(connection: sqlite3.Connection, tmp_path: Path) -> None:
    volume = make_volume(connection, tmp_path / "disk")
    facts = row_of_segments(10)
    index_facts(connection, volume.no, [*facts, sealed("cam-2")], stamp, SHANGHAI)
    everything = Span(0, T0 + DAY)
    rows = segments.segments_in(connection, "cam-1", StreamKind.MAIN, everything)
    assert [row.start_us for row in rows] == [fact.start_us for fact in facts]
    first = segments.segments_in(connection, "cam-1", StreamKind.MAIN, everything, limit=4)
    rest = segments.segments_in(connection, "cam-1", StreamKind.MAIN, everything, after=first[-1].key)
    assert first + rest == rows
    # half-open: a segment that ends where the span begins has no instant in it
    inside = segments.segments_in(connection, "cam-1", StreamKind.MAIN, Span(T0 + MINUTE, T0 + MINUTE + 1))
    assert [row.seq for row in inside] == [1]
    assert segments.segment_file(rows[0]) == PurePosixPath("segments/cam-1/2026-09-21/141320Z-1-0.mp4")
    assert segments.find_segment(connection, rows[3].key) == rows[3]
    assert (rows[3].sha256, rows[3].stream, rows[3].recovered) == (facts[3].sha256, StreamKind.MAIN, False)
    assert segments.oldest(connection, "cam-1", StreamKind.MAIN) == rows[0]
    assert segments.begin_by_camera(connection, StreamKind.MAIN) == {"cam-1": rows[0].start_us, "cam-2": T0}
    assert segments.begin_by_camera(connection, StreamKind.SUB) == {}
    assert segments.newest(connection, "cam-1", StreamKind.MAIN) == rows[-1]
    assert segments.newest(connection, "cam-1", StreamKind.SUB) is None


def test_a_segment_longer_than_any_expected_is_found_from_its_end(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    volume = make_volume(connection, tmp_path / "disk")
    index_facts(connection, volume.no, [sealed(length_us=5 * DAY)], stamp, SHANGHAI)
    late = Span(T0 + 5 * DAY - 1, T0 + 6 * DAY)
    assert len(segments.segments_in(connection, "cam-1", StreamKind.MAIN, late)) == 1


def test_totals_follow_every_change_of_state(connection: sqlite3.Connection, tmp_path: Path) -> None:
    volume = make_volume(connection, tmp_path / "disk")
    index_facts(connection, volume.no, row_of_segments(3), stamp, SHANGHAI)
    index_facts(connection, volume.no, row_of_segments(3), stamp, SHANGHAI)
    assert segments.totals(connection) == [segments.Total("cam-1", StreamKind.MAIN, volume.no, 3, 3000)]
    connection.execute("UPDATE segment SET state = 1 WHERE seq = 0")
    assert segments.totals(connection)[0][3:] == (2, 2000)
    connection.execute("UPDATE segment SET state = 0 WHERE seq = 0")
    connection.execute("INSERT INTO retention_clock VALUES (1, ?, 0, 'b', 0)", (T0 + 90 * DAY,))
    execute_all(connection, *told_going(), *told_going(T0 + MINUTE, seq=1))
    connection.execute("UPDATE segment SET state = 2 WHERE seq < 2")
    assert segments.totals(connection)[0][3:] == (1, 1000)
    connection.execute("DELETE FROM segment WHERE state = 2")
    assert segments.totals(connection)[0][3:] == (1, 1000)


def test_a_civil_day_is_the_site_s(connection: sqlite3.Connection) -> None:
    noon_utc = T0 - T0 % DAY + DAY // 2
    assert segments.local_day(noon_utc + 4 * 60 * MINUTE, SHANGHAI) == segments.local_day(noon_utc, SHANGHAI) + 1
    assert segments.local_day(noon_utc + 4 * 60 * MINUTE - 1, SHANGHAI) == segments.local_day(noon_utc, SHANGHAI)
