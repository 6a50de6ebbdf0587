"""What is taken from a predecessor and when; the orders that say so; and the files that two recorders share."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.archive import journal
from edged.base.clock import SECOND
from edged.model import Cause, Loss, StreamKind, StreamState, StreamStatus
from edged.record.disk.journal_file import JournalFile
from edged.record.disk.runs import BLOCK, RunCounter
from edged.record.disk.segment_file import Committed, SegmentFile
from edged.record.lock import Lock, is_running, lock_path, running_pid
from edged.record.orders import BadOrder, Leave, Order, Release, Succeed, decode_order, encode_order
from edged.record.sink import SegmentStart
from edged.record.succession import OWN_TROUBLES_US, PATIENCE_US, Taking, decide
from tests.recorder_kit import until

UP, DOWN, CONNECTING = StreamState.STREAMING, StreamState.DOWN, StreamState.CONNECTING
KEY = ("c-1", StreamKind.MAIN)
DAY_US = 1_790_000_000 * SECOND


def stream(state: StreamState, committed_us: int | None = None, cause: Cause | None = None) -> StreamStatus:
    return StreamStatus(
        camera="c-1",
        stream=StreamKind.MAIN,
        state=state,
        since_us=0,
        cause=cause,
        code="",
        last_frame_us=None,
        committed_us=committed_us,
        frames=0,
        keyframes=0,
        bytes=0,
        packets=0,
        lost_packets=0,
        sessions=0,
        codec="",
        width=0,
        height=0,
    )


NOTHING, MADE, REFUSED = Taking((), ()), Taking((KEY,), ()), Taking((), (KEY,))


@pytest.mark.parametrize(
    ("mine", "waited_us", "expected"),
    [
        pytest.param(stream(CONNECTING), 0, NOTHING, id="still connecting"),
        pytest.param(stream(UP), 0, NOTHING, id="streams, but nothing is on the disk yet"),
        pytest.param(stream(UP, 5), 0, MADE, id="footage is on the disk"),
        pytest.param(stream(DOWN, None, Cause.REFUSED), 0, REFUSED, id="no second session"),
        pytest.param(stream(CONNECTING, None, Cause.CLOSED), 0, REFUSED, id="no second connection, trying again"),
        pytest.param(stream(DOWN, None, Cause.DISK), 0, NOTHING, id="the volume is not open here"),
        pytest.param(stream(DOWN, None, Cause.CREDENTIALS), OWN_TROUBLES_US, NOTHING, id="the login is wrong"),
        pytest.param(stream(DOWN, None, Cause.CREDENTIALS), OWN_TROUBLES_US + 1, REFUSED, id="and stays wrong"),
        pytest.param(stream(CONNECTING), PATIENCE_US + 1, MADE, id="no wait is endless"),
        pytest.param(None, 0, MADE, id="not wanted any more"),
    ],
)
def test_when_a_stream_is_taken(mine: StreamStatus | None, waited_us: int, expected: Taking) -> None:
    assert decide([mine] if mine else [], [stream(UP, 9)], waited_us) == expected


@pytest.mark.parametrize("state", [DOWN, CONNECTING])
def test_what_the_predecessor_does_not_record_is_taken_at_once(state: StreamState) -> None:
    assert decide([stream(CONNECTING)], [stream(state, 9, Cause.UNREACHABLE)], 0) == MADE


def test_the_small_stream_of_a_camera_is_a_stream_of_its_own() -> None:
    sub = replace(stream(UP, 9), stream=StreamKind.SUB)
    mine = [stream(UP, 5), replace(stream(CONNECTING), stream=StreamKind.SUB)]
    assert decide(mine, [stream(UP, 9), sub], 0) == MADE


# --- orders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [Succeed(7), Release((KEY, ("c-2", StreamKind.SUB))), Release((KEY,), True), Leave()])
def test_an_order_is_read_as_it_was_given(order: Order) -> None:
    line = encode_order(order)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_order(line) == order


@given(
    st.one_of(
        st.binary(), st.from_regex(r'\{"do":"(succeed|release|leave|x)","v":1,"(pid|streams)":.*\}').map(str.encode)
    )
)
def test_whatever_line_comes_is_an_order_or_refused(line: bytes) -> None:
    with contextlib.suppress(BadOrder):
        order = decode_order(line)
        assert decode_order(encode_order(order)) == order


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2, "do": "leave"},
        {"v": 1, "do": "format the disk"},
        {"v": 1, "do": "succeed", "pid": "me"},
        {"v": 1, "do": "release", "streams": [["c-1", "third"]], "before_keyframe": False},
        {"v": 1, "do": "release", "streams": "c-1"},
        {"do": "leave"},
        [],
    ],
)
def test_an_order_that_is_not_understood_is_refused(fields: object) -> None:
    with pytest.raises(BadOrder):
        decode_order(json.dumps(fields).encode())


# --- shared files -----------------------------------------------------------------------------------------------------


def test_a_recorder_and_its_successor_never_share_a_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    old, new = RunCounter(path), RunCounter(path)
    taken = [counter.take() for _ in range(3 * BLOCK) for counter in (old, new)]
    assert len(set(taken)) == len(taken)
    assert RunCounter(path).take() > max(taken)


def test_a_run_counter_that_cannot_be_saved_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = RunCounter(tmp_path / "run")
    (tmp_path / "run").write_text("not a number")
    taken = [runs.take() for _ in range(2 * BLOCK)]
    assert taken == sorted(set(taken))
    assert "cannot be saved" in caplog.text


def loss(number: int) -> Loss:
    return Loss(
        camera="c-1", stream=StreamKind.MAIN, start_us=number, end_us=number + 1, cause=Cause.LOSS, packets=1, frames=0
    )


def test_i7_what_another_recorder_left_torn_swallows_no_line(tmp_path: Path) -> None:
    """I7: a full disk or a crash may leave part of a line behind while the other one goes on appending."""
    one, other = JournalFile(tmp_path, "r"), JournalFile(tmp_path, "r")
    one.append(loss(1), DAY_US)
    other.append(loss(2), DAY_US)
    [day] = tmp_path.glob("journal/r/*.ndjson")
    with day.open("ab") as torn:
        torn.write(b'{"torn":')
    one.append(loss(3), DAY_US)
    other.append(loss(4), DAY_US)
    one.close()
    other.close()
    lines = day.read_bytes().splitlines()
    assert lines.pop(2) == b'{"torn":'
    assert [journal.decode(line) for line in lines] == [loss(number) for number in (1, 2, 3, 4)]


APPENDER = """
import sys
from pathlib import Path
from edged.model import Cause, Loss, StreamKind
from edged.record.disk.journal_file import JournalFile
file, number = JournalFile(Path(sys.argv[1]), "r"), int(sys.argv[2])
while True:
    number += 1
    fact = Loss(camera="c-1", stream=StreamKind.MAIN, start_us=number, end_us=number, cause=Cause.LOSS, packets=1,
                frames=0)
    file.append(fact, int(sys.argv[3]))
    print(number, flush=True)
"""


async def test_i7_two_recorders_append_and_are_killed(tmp_path: Path) -> None:
    """I7: whatever was appended is read back, each line once, though both are killed in the midst of it."""
    told: list[int] = []
    for turn in range(4):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", APPENDER, str(tmp_path), str((2 * turn + n) * 10**6), str(DAY_US)],
                stdout=subprocess.PIPE,
            )
            for n in range(2)
        ]
        try:
            for writer in writers:
                assert writer.stdout is not None
                told += [int(writer.stdout.readline()) for _ in range(500)]
        finally:
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
                told += [int(line) for line in writer.communicate()[0].splitlines() if line]
    [day] = tmp_path.glob("journal/r/*.ndjson")
    facts = [journal.decode(line) for line in day.read_bytes().split(b"\n")[:-1] if line]
    written = [fact.start_us for fact in facts if isinstance(fact, Loss)]
    assert len(set(written)) == len(written)
    assert set(told) <= set(written)


def segment_file(run: int) -> SegmentFile:
    return SegmentFile("c-1", StreamKind.MAIN, SegmentStart(DAY_US, 0, run), 1, "b", Committed())


async def test_i7_a_recovery_that_is_faster_than_the_lock_costs_no_segment(tmp_path: Path) -> None:
    """I7: the recovery of a successor locks a file in the instant between its creation and its writer's own lock."""
    runs = RunCounter(tmp_path / "run")
    stop = threading.Event()
    removed: list[Path] = []

    def recover() -> None:
        while not stop.is_set():
            for part in tmp_path.glob("segments/*/*/*.part"):
                try:
                    fd = os.open(part, os.O_RDWR)
                except FileNotFoundError:
                    continue
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    part.unlink()
                    removed.append(part)
                except (BlockingIOError, FileNotFoundError):
                    pass
                finally:
                    os.close(fd)

    thief = threading.Thread(target=recover)
    thief.start()
    try:
        for _ in range(300):
            file = segment_file(runs.take())
            file.create(tmp_path, runs)
            file.write(b"footage")
            assert [part for part in tmp_path.glob("segments/*/*/*.part") if part.read_bytes() == b"footage"]
            file.abandon()
            await until(lambda: not list(tmp_path.glob("segments/*/*/*.part")))
    finally:
        stop.set()
        thief.join()
    print(f"{len(removed)} removed of 300 kept, {len(removed) - 300} before their writer had locked them")


def test_who_is_the_recorder_is_told_by_its_lock(tmp_path: Path) -> None:
    path = lock_path(tmp_path, "r")
    assert running_pid(tmp_path, "r") is None
    lock = Lock(path)
    assert lock.try_hold()
    assert running_pid(tmp_path, "r") == os.getpid()
    other = Lock(path)
    assert not other.try_hold()
    lock.close()
    assert not is_running(tmp_path, "r")
    assert other.try_hold()
    other.close()
    other.close()
