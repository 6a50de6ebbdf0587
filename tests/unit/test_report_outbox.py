"""The outbox: part of the act's transaction, bounded where it may be, the same id at every delivery."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.archive import outbox
from edged.archive.database import open_database, transact
from edged.base.clock import DAY, HOUR


@pytest.fixture
def index(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "index.db")
    yield connection
    connection.close()


def topics(index: sqlite3.Connection) -> list[tuple[str, object]]:
    return [(m.topic, m.body.get("n")) for m in outbox.pending(index, 100)]


def test_events_are_all_kept_in_order_and_states_only_at_their_newest(index: sqlite3.Connection) -> None:
    outbox.enqueue(index, "camera/cam-1", {"n": 1}, True, 1)
    outbox.enqueue(index, "outage/out-1", {"n": 2}, False, 2)
    outbox.enqueue(index, "camera/cam-1", {"n": 3}, True, 3)
    outbox.enqueue(index, "outage/out-1", {"n": 4}, False, 4)
    outbox.enqueue(index, "camera/cam-2", json.dumps({"n": 5}), True, 5)
    assert topics(index) == [("outage/out-1", 2), ("camera/cam-1", 3), ("outage/out-1", 4), ("camera/cam-2", 5)]
    assert outbox.waiting(index) == 4
    assert outbox.newest(index) == 5


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_states_are_bounded_by_their_topics_and_no_event_is_ever_dropped(acts: list[tuple[str, bool]]) -> None:
    index = open_database(Path(":memory:"))
    for number, (topic, latest) in enumerate(acts):
        outbox.enqueue(index, topic, {"n": number}, latest, number)
    waiting = outbox.pending(index, 1000)
    states = [m for m in waiting if m.latest]
    assert len(states) <= 3
    assert [m.body["n"] for m in waiting if not m.latest] == [n for n, (_, latest) in enumerate(acts) if not latest]
    assert [m.seq for m in waiting] == sorted(m.seq for m in waiting)
    for state in states:
        assert state.body["n"] == max(n for n, (topic, latest) in enumerate(acts) if latest and topic == state.topic)
    index.close()


def test_a_message_is_undone_with_the_act_it_tells_about(index: sqlite3.Connection) -> None:
    def act(connection: sqlite3.Connection) -> None:
        outbox.enqueue(connection, "outage/out-1", {"n": 1}, False, 1)
        raise OSError("the act failed")

    with pytest.raises(OSError, match="the act failed"):
        transact(index, act)
    assert outbox.waiting(index) == 0


def test_only_what_was_acknowledged_leaves_and_it_keeps_its_id(index: sqlite3.Connection) -> None:
    for number in range(3):
        outbox.enqueue(index, f"outage/out-{number}", {"n": number}, False, number)
    before = outbox.pending(index, 10)
    outbox.acknowledged(index, [before[1].seq])
    assert outbox.pending(index, 10) == [before[0], before[2]]
    [kept] = outbox.retained(index, 10)
    assert kept == before[1]
    assert len({m.id for m in before}) == 3


def test_a_state_replaced_while_on_the_way_is_not_taken_out(index: sqlite3.Connection) -> None:
    old = outbox.enqueue(index, "camera/cam-1", {"n": 1}, True, 1)
    outbox.enqueue(index, "camera/cam-1", {"n": 2}, True, 2)
    outbox.acknowledged(index, [old])
    assert topics(index) == [("camera/cam-1", 2)]


def test_an_earlier_message_acknowledged_late_is_not_the_last_word(index: sqlite3.Connection) -> None:
    first = outbox.enqueue(index, "outage/out-1", {"n": 1}, False, 1)
    second = outbox.enqueue(index, "outage/out-1", {"n": 2}, False, 2)
    outbox.acknowledged(index, [second])
    outbox.acknowledged(index, [first])
    assert [m.body["n"] for m in outbox.retained(index, 3)] == [2]


def test_closed_outages_are_remembered_for_a_day_and_open_ones_until_closed(index: sqlite3.Connection) -> None:
    closed = outbox.enqueue(index, "outage/out-1", {"state": "closed"}, False, 0)
    opened = outbox.enqueue(index, "outage/out-2", {"state": "outage"}, False, 0)
    outbox.acknowledged(index, [closed, opened])
    assert {m.topic for m in outbox.retained(index, DAY)} == {"outage/out-1", "outage/out-2"}
    assert {m.topic for m in outbox.retained(index, DAY + HOUR)} == {"outage/out-2"}
    assert {m.topic for m in outbox.retained(index, 0)} == {"outage/out-2"}


def test_the_last_word_on_a_topic_is_the_one_that_waits(index: sqlite3.Connection) -> None:
    seq = outbox.enqueue(index, "camera/cam-1", {"n": 1}, True, 1)
    outbox.acknowledged(index, [seq])
    outbox.enqueue(index, "camera/cam-2", {"n": 2}, True, 2)
    outbox.enqueue(index, "outage/out-1", {"n": 3}, False, 3)
    assert outbox.last_said(index, "camera/") == {"camera/cam-1": {"n": 1}, "camera/cam-2": {"n": 2}}
    outbox.enqueue(index, "camera/cam-1", {"n": 4}, True, 4)
    assert outbox.last_said(index, "camera/")["camera/cam-1"] == {"n": 4}


def test_connections_are_counted_over_restarts_and_ids_differ_between_databases(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        index = open_database(tmp_path / "index.db")
        seen.append(outbox.next_session(index))
        index.close()
    assert [s.bd_seq for s in seen] == [1, 2, 3]
    assert len({s.epoch for s in seen}) == 1
    rebuilt = open_database(tmp_path / "rebuilt.db")
    assert outbox.next_session(rebuilt).epoch != seen[0].epoch
    rebuilt.close()


def test_without_a_broker_nothing_piles_up(index: sqlite3.Connection) -> None:
    outbox.enqueue(index, "outage/out-1", {"n": 1}, False, 1)
    outbox.switch(index, False)
    assert outbox.enqueue(index, "outage/out-1", {"n": 2}, False, 2) == 0
    assert outbox.waiting(index) == 0
    outbox.switch(index, True)
    outbox.enqueue(index, "outage/out-1", {"n": 3}, False, 3)
    assert topics(index) == [("outage/out-1", 3)]


@pytest.mark.parametrize("payload", ["[]", '"text"', "not JSON"])
def test_a_message_is_a_json_object(index: sqlite3.Connection, payload: str) -> None:
    with pytest.raises(ValueError):
        outbox.enqueue(index, "outage/out-1", payload, False, 1)
    assert outbox.waiting(index) == 0
