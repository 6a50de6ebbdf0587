"""What every station stands on: clocks to one contract, supervision, spans, files, the worker, redaction."""

import asyncio
import itertools
import logging
import os
import stat
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.clock import SECOND, Clock, ManualClock, SystemClock
from edged.base.errors import OwnerMustAct, TryAgain
from edged.base.files import canonical_json, make_folder, replace_file
from edged.base.log import RedactingFormatter, redact
from edged.base.spans import Span, subtract, total_us, union
from edged.base.tasks import Backoff, Progress, cancel, spawn, supervise
from edged.base.worker import Worker, WorkerFull

# --- one contract for the machine's clock and the test's ------------------------------------------------------------


async def pass_real_time(clock: Clock) -> None:
    await clock.sleep(0.01)


async def pass_manual_time(clock: Clock) -> None:
    assert isinstance(clock, ManualClock)
    clock.advance(0.01)


CLOCKS = [(SystemClock, pass_real_time), (ManualClock, pass_manual_time)]


@pytest.mark.parametrize(("make", "let_pass"), CLOCKS)
async def test_both_clocks_advance_together(make: type[Clock], let_pass: Callable[[Clock], Awaitable[None]]) -> None:
    clock = make()
    wall, mono, boot = clock.wall_us(), clock.monotonic_us(), clock.boot_id()
    await let_pass(clock)
    assert clock.monotonic_us() - mono >= 0.01 * SECOND
    assert clock.wall_us() - wall > 0
    assert clock.boot_id() == boot


@pytest.mark.parametrize(("make", "let_pass"), CLOCKS)
async def test_sleep_lasts_at_least_as_long_as_asked(
    make: type[Clock], let_pass: Callable[[Clock], Awaitable[None]]
) -> None:
    clock = make()
    began = clock.monotonic_us()
    sleeper = spawn("sleeper", clock.sleep(0.02))
    while not sleeper.done():
        await let_pass(clock)
        await asyncio.sleep(0)
    assert clock.monotonic_us() - began >= 0.02 * SECOND


async def test_a_manual_clock_steps_and_reboots() -> None:
    clock = ManualClock()
    wall, mono, boot = clock.wall_us(), clock.monotonic_us(), clock.boot_id()
    clock.step_wall(-3600)
    assert (clock.wall_us(), clock.monotonic_us()) == (wall - 3600 * SECOND, mono)
    clock.reboot(off_seconds=60)
    assert clock.boot_id() != boot
    assert clock.monotonic_us() < mono
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


# --- supervision -----------------------------------------------------------------------------------------------------


async def test_a_failing_component_is_repeated_with_backoff_and_its_neighbour_is_untouched() -> None:
    clock = ManualClock()
    tries: list[int] = []
    neighbour_done = asyncio.Event()

    async def failing() -> None:
        tries.append(clock.monotonic_us())
        raise TryAgain("the camera is away")

    async def neighbour() -> None:
        await clock.sleep(3600)
        neighbour_done.set()

    tasks = [
        spawn("failing", supervise("failing", failing, clock, backoff=Backoff(1, 60, draw=lambda: 1.0))),
        spawn("neighbour", supervise("neighbour", neighbour, clock)),
    ]
    for _ in range(3600):
        await asyncio.sleep(0)
        clock.advance(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert neighbour_done.is_set()
    waits = [(b - a) // SECOND for a, b in itertools.pairwise(tries)]
    assert waits[:6] == [1, 2, 4, 8, 16, 32]
    assert set(waits[6:]) == {60}
    await cancel(*tasks)


async def test_where_only_the_owner_can_help_the_wait_is_the_longest_at_once() -> None:
    backoff = Backoff(1, 60, draw=lambda: 1.0)
    assert backoff.longest_wait() == 60
    assert backoff.next_wait() == 60
    backoff.reset()
    assert backoff.next_wait() == 1
    clock = ManualClock()
    seen: list[str] = []

    async def refused() -> None:
        raise OwnerMustAct("wrong password")

    task = spawn("x", supervise("x", refused, clock, on_error=lambda error: seen.append(error.code)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == ["EDG-200"]
    await cancel(task)


async def test_a_bug_passes_through_supervision() -> None:
    async def broken() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await supervise("broken", broken, ManualClock())


def test_progress_names_what_has_stalled() -> None:
    clock = ManualClock()
    progress = Progress(clock)
    beat = progress.expect("intake", within_seconds=10)
    progress.expect("sweep", within_seconds=100)
    clock.advance(11)
    assert progress.stalled() == ["intake"]
    beat()
    assert progress.stalled() == []


# --- spans -----------------------------------------------------------------------------------------------------------

spans = st.builds(lambda start, length: Span(start, start + length), st.integers(0, 200), st.integers(0, 50))


@given(st.lists(spans), spans)
def test_covered_and_uncovered_make_the_whole_window(taken: list[Span], window: Span) -> None:
    free = subtract(window, taken)
    inside = [span.cut_to(window) for span in taken]
    assert total_us(free) + total_us(inside) == window.length_us
    instants = {at for span in taken for at in range(span.start_us, span.end_us)}
    assert {at for span in free for at in range(span.start_us, span.end_us)} == {
        at for at in range(window.start_us, window.end_us) if at not in instants
    }


@given(st.lists(spans))
def test_a_union_is_sorted_disjoint_and_the_same_instants(taken: list[Span]) -> None:
    merged = union(taken)
    assert all(a.end_us < b.start_us for a, b in itertools.pairwise(merged))
    assert {at for s in taken for at in range(s.start_us, s.end_us)} == {
        at for s in merged for at in range(s.start_us, s.end_us)
    }


# --- files -----------------------------------------------------------------------------------------------------------


def test_equal_values_give_equal_bytes() -> None:
    assert canonical_json({"b": 1, "a": "é"}) == canonical_json({"a": "é", "b": 1}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_a_replaced_file_has_its_mode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder)
    make_folder(folder)
    path = folder / "secret.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace_file(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(folder) == ["secret.json"]


def test_a_replacement_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state.json"]


# --- the worker ------------------------------------------------------------------------------------------------------


async def test_a_worker_runs_calls_in_order_on_its_own_thread_and_hands_back_errors() -> None:
    worker = Worker("test")
    order: list[int] = []
    await asyncio.gather(*(worker.run(order.append, number) for number in range(50)))
    assert order == list(range(50))
    assert await worker.run(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    worker.shutdown()


async def test_a_stuck_worker_refuses_at_once_instead_of_growing() -> None:
    worker = Worker("stuck", depth=2)
    free = threading.Event()
    running = worker.submit(free.wait)
    while worker.waiting():  # until the thread has taken the first call
        await asyncio.sleep(0)
    waiting = [worker.submit(lambda: None) for _ in range(2)]
    with pytest.raises(WorkerFull):
        worker.submit(lambda: None)
    free.set()
    assert running.result(timeout=5) is True
    assert [future.result(timeout=5) for future in waiting] == [None, None]
    worker.shutdown()


# --- I9: nothing confidential in the log ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("cannot open rtsp://admin:hunter2@192.0.2.7:554/ch1?x=1 now", ["hunter2", "192.0.2.7", "ch1"]),
        ("connect to ('192.0.2.7', 554) failed", ["192.0.2.7"]),
        ("peer fe80::1ff:fe23:4567:890a%eth0 gone", ["fe80", "890a"]),
        ("peer 2001:db8:0:1:2:3:4:5 gone", ["2001:db8"]),
        ("mac 00:1A:2b:3c:4d:5e", ["1A:2b"]),
        ("login password=hunter2, token: abc123", ["hunter2", "abc123"]),
    ],
)
def test_i9_addresses_and_secrets_do_not_reach_the_log(text: str, secrets: list[str]) -> None:
    for journald in (True, False):
        record = logging.LogRecord("edged", logging.WARNING, __file__, 1, text, (), None)
        line = RedactingFormatter(journald=journald).format(record)
        assert not [secret for secret in secrets if secret in line], line


def test_ordinary_text_stays_as_it_is() -> None:
    for text in ("camera cam-1: 12:30:05 stalled after 3.5 s (ARC-010)", "edged 0.1.0 up", "[::] std::vector"):
        assert redact(text).replace("[<address>]", "[::]") == text
