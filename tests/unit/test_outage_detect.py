"""The detector: what it takes for an outage, what it forgives, and from when it counts."""

import dataclasses
from collections.abc import Iterable

import pytest

from edged.base.clock import DAY, HOUR, MINUTE, SECOND
from edged.config.records import OutageConfig
from edged.model import Cause, StreamKind, StreamState, StreamStatus
from edged.outage.detect import Cleared, Detector, Flapped, Good, Happening, Opened, Suspected, Sustained, Thresholds

NOW = 1_800_000_000 * SECOND
LIMITS = Thresholds(suspect_after_us=5 * SECOND, outage_after_us=8 * SECOND, sustained_us=10 * SECOND)
FRAGMENT = 2 * SECOND
ADOPTED = NOW - 30 * DAY


def stream(
    committed_us: int | None,
    *,
    since_us: int = NOW - HOUR,
    state: StreamState = StreamState.STREAMING,
    cause: Cause | None = None,
    last_frame_us: int | None = None,
) -> StreamStatus:
    return StreamStatus(
        camera="cam-a",
        stream=StreamKind.MAIN,
        state=state,
        since_us=since_us,
        cause=cause,
        code="",
        last_frame_us=committed_us if last_frame_us is None else last_frame_us,
        committed_us=committed_us,
        frames=0 if committed_us is None else 25,
        keyframes=1,
        bytes=0,
        packets=0,
        lost_packets=0,
        sessions=1,
        codec="",
        width=0,
        height=0,
    )


@dataclasses.dataclass
class Watch:
    """A detector looked at once a second, with the world around it."""

    detector: Detector
    now_us: int = NOW
    mono_us: int = 5000 * SECOND
    committed_us: int | None = None
    since_us: int = NOW - HOUR
    seen: list[Happening] = dataclasses.field(default_factory=list)

    def look(self, status: StreamStatus | None, *, alive: bool = True, after: float = 1.0) -> list[Happening]:
        self.now_us += round(after * SECOND)
        self.mono_us += round(after * SECOND)
        found = list(self.detector.observe(self.now_us, self.mono_us, status, alive))
        self.seen += found
        return found

    def delivering(self, seconds: int) -> list[Happening]:
        """Frames all the time from now on, committed a fragment at a time."""
        found = []
        begin_us = self.now_us
        for second in range(1, seconds + 1):
            whole_us = second * SECOND // FRAGMENT * FRAGMENT
            self.committed_us = begin_us + whole_us if whole_us else self.committed_us
            found += self.look(stream(self.committed_us, since_us=self.since_us))
        return found

    def silent(self, seconds: int, **more: object) -> list[Happening]:
        """Nothing new is committed."""
        status = dataclasses.replace(stream(self.committed_us, since_us=self.since_us), **more)  # type: ignore[arg-type]
        return [what for _ in range(seconds) for what in self.look(status)]

    def recorder_away(self, seconds: int) -> list[Happening]:
        return [what for _ in range(seconds) for what in self.look(None, alive=False)]

    def step_wall(self, seconds: int) -> None:
        self.now_us += seconds * SECOND


@pytest.fixture
def watch() -> Watch:
    return Watch(Detector(LIMITS, ADOPTED))


def kinds(found: Iterable[Happening]) -> list[type]:
    return [type(what) for what in found]


def opened(found: Iterable[Happening]) -> Opened:
    [only] = [what for what in found if isinstance(what, Opened)]
    return only


# --- thresholds -----------------------------------------------------------------------------------------------------


def test_limits_are_raised_to_what_a_healthy_stream_needs() -> None:
    tight = Thresholds.of(OutageConfig(suspect_after="1s", outage_after="2s", sustained="3s"), 2.0)  # type: ignore[arg-type]
    assert (tight.suspect_after_us, tight.outage_after_us, tight.sustained_us) == (5 * SECOND, 5 * SECOND, 3 * SECOND)
    usual = Thresholds.of(OutageConfig(), 2.0)
    assert (usual.suspect_after_us, usual.outage_after_us) == (5 * SECOND, 8 * SECOND)


def test_a_stream_committing_by_fragments_is_never_suspect_even_at_the_tightest_limits() -> None:
    tight = Thresholds.of(OutageConfig(suspect_after="1s", outage_after="1s", sustained="1s"), 2.0)  # type: ignore[arg-type]
    assert Watch(Detector(tight, ADOPTED)).delivering(600) == []


# --- losing a feed --------------------------------------------------------------------------------------------------


def test_silence_is_suspected_then_opened_back_dated_to_the_last_good_frame(watch: Watch) -> None:
    watch.delivering(20)
    found = watch.silent(4)
    assert found == []
    found = watch.silent(8)
    assert kinds(found) == [Suspected, Opened]
    assert opened(found) == Opened(watch.committed_us or 0, Cause.STALLED)


def test_the_count_runs_from_the_last_good_frame_not_from_when_it_was_noticed(watch: Watch) -> None:
    watch.delivering(21)
    lost_us = watch.now_us
    watch.silent(5)
    assert watch.committed_us is not None
    watch.committed_us += SECOND // 2  # the recorder gives up and writes the rest of the fragment
    assert kinds(watch.silent(2)) == []
    found = opened(watch.silent(1))  # 8.5 s after the last good frame, 3 s after it was written
    assert found.t0_us == watch.committed_us
    assert found.t0_us <= lost_us


def test_old_frames_written_late_are_not_a_return(watch: Watch) -> None:
    watch.delivering(20)
    watch.silent(10)
    assert watch.committed_us is not None
    watch.committed_us += SECOND // 2
    assert watch.silent(20) == []


def test_a_short_silence_is_only_suspected(watch: Watch) -> None:
    watch.delivering(20)
    watch.silent(6)
    watch.delivering(5)
    assert kinds(watch.seen) == [Suspected, Cleared]


def test_a_camera_that_never_delivered_is_an_outage_since_its_adoption() -> None:
    watch = Watch(Detector(LIMITS, NOW))
    found = [what for _ in range(9) for what in watch.look(stream(None, state=StreamState.CONNECTING))]
    assert opened(found) == Opened(NOW, Cause.UNREACHABLE)


def test_an_adopted_camera_the_recorder_does_not_know_is_an_outage(watch: Watch) -> None:
    watch.delivering(5)
    found = [what for _ in range(12) for what in watch.look(None)]
    assert opened(found) == Opened(watch.committed_us or 0, Cause.UNKNOWN)


@pytest.mark.parametrize("cause", [Cause.CREDENTIALS, Cause.REFUSED, Cause.CLOSED, Cause.DISK])
def test_the_recorders_own_cause_is_believed(watch: Watch, cause: Cause) -> None:
    watch.delivering(5)
    assert opened(watch.silent(12, state=StreamState.DOWN, cause=cause)).cause is cause


def test_frames_that_arrive_and_are_not_written_are_the_disks_fault(watch: Watch) -> None:
    watch.delivering(5)
    found = []
    for _ in range(12):
        found += watch.silent(1, last_frame_us=watch.now_us)
    assert opened(found).cause is Cause.DISK


def test_a_planned_stop_is_no_outage_and_what_follows_begins_where_the_plan_ended(watch: Watch) -> None:
    watch.delivering(5)
    assert watch.silent(HOUR // SECOND, state=StreamState.DOWN, cause=Cause.PLANNED) == []
    planned_until_us = watch.now_us
    assert opened(watch.silent(12)).t0_us == planned_until_us


# --- our own faults are not the camera's ------------------------------------------------------------------------------


def test_a_stalled_controller_does_not_accuse_from_what_is_old(watch: Watch) -> None:
    watch.delivering(20)
    old = stream(watch.committed_us)
    assert watch.look(old, after=600) == []  # the first thing read after the stall was written before it
    assert watch.silent(3) == []
    watch.delivering(20)
    assert watch.seen == []


def test_a_stall_only_puts_off(watch: Watch) -> None:
    watch.delivering(20)
    t0_us = watch.committed_us
    watch.silent(4)
    watch.look(stream(watch.committed_us), after=600)
    assert opened(watch.silent(10)).t0_us == t0_us


@pytest.mark.parametrize("step", [-3 * DAY, -HOUR, HOUR, 40 * DAY])
def test_a_step_of_the_wall_clock_does_not_accuse(watch: Watch, step: int) -> None:
    watch.delivering(20)
    watch.step_wall(step // SECOND)
    assert watch.silent(3) == []
    watch.delivering(60)
    assert watch.seen == []


@pytest.mark.parametrize("step", [-3 * DAY, -HOUR, HOUR, 40 * DAY])
def test_frames_still_labelled_by_the_old_clock_are_frames(watch: Watch, step: int) -> None:
    watch.delivering(20)
    watch.step_wall(step // SECOND)
    for _ in range(30):
        watch.committed_us = watch.now_us - step
        watch.look(stream(watch.committed_us))
    assert watch.seen == []


@pytest.mark.parametrize("step", [-3 * DAY, -HOUR, HOUR, 40 * DAY])
def test_a_step_during_the_silence_moves_the_beginning_with_the_clock(watch: Watch, step: int) -> None:
    watch.delivering(20)
    watch.silent(3)
    before_us = watch.now_us - (watch.committed_us or 0)
    watch.step_wall(step // SECOND)
    found = opened(watch.silent(20))
    assert 8 * SECOND <= found_after(watch, found) <= before_us + 20 * SECOND


def found_after(watch: Watch, found: Opened) -> int:
    return watch.now_us - found.t0_us


def test_a_wall_clock_that_keeps_stepping_hides_nothing(watch: Watch) -> None:
    watch.delivering(20)
    for _ in range(20):
        watch.step_wall(60)
        watch.silent(2)
    assert opened(watch.seen).cause is Cause.STALLED


def test_a_recorder_that_restarts_gives_its_cameras_time_to_connect(watch: Watch) -> None:
    watch.delivering(20)
    watch.recorder_away(4)
    connecting = stream(None, state=StreamState.CONNECTING, since_us=watch.now_us)
    for _ in range(6):
        watch.look(connecting)
    watch.since_us = watch.now_us
    watch.delivering(10)
    assert not any(isinstance(what, Opened) for what in watch.seen)


def test_every_restart_with_frames_in_between_is_forgiven_anew(watch: Watch) -> None:
    watch.delivering(20)
    for _ in range(5):
        watch.recorder_away(4)
        watch.silent(6)
        watch.since_us = watch.now_us
        watch.delivering(10)
    assert not any(isinstance(what, Opened) for what in watch.seen)


def test_a_dead_recorder_is_an_outage_of_its_own_cause(watch: Watch) -> None:
    watch.delivering(20)
    found = watch.recorder_away(12)
    assert kinds(found) == [Suspected, Opened]
    assert opened(found) == Opened(watch.committed_us or 0, Cause.RECORDER)


def test_a_recorder_that_keeps_crashing_hides_nothing(watch: Watch) -> None:
    watch.delivering(20)
    connecting = stream(None, state=StreamState.CONNECTING, since_us=watch.now_us)
    for _ in range(10):
        watch.recorder_away(3)
        watch.look(connecting)
        watch.look(connecting)
    assert opened(watch.seen) == Opened(watch.committed_us or 0, Cause.RECORDER)


# --- coming back ----------------------------------------------------------------------------------------------------


def lose(watch: Watch) -> int:
    watch.delivering(20)
    return opened(watch.silent(12)).t0_us


def test_a_sustained_stream_restores_since_its_first_good_frame(watch: Watch) -> None:
    lose(watch)
    watch.silent(60)
    watch.since_us = back_us = watch.now_us
    found = watch.delivering(14)
    assert kinds(found) == [Good, Sustained]
    [good, sustained] = found
    assert isinstance(good, Good)
    assert isinstance(sustained, Sustained)
    assert sustained.restored_at_us == good.since_us
    assert back_us <= good.since_us <= back_us + FRAGMENT


def test_nine_good_seconds_are_not_ten(watch: Watch) -> None:
    lose(watch)
    watch.silent(1)
    assert kinds(watch.delivering(9)) == [Good]


def test_flapping_is_one_incident(watch: Watch) -> None:
    lose(watch)
    for _ in range(5):
        assert kinds(watch.delivering(7)) == [Good]
        assert kinds(watch.silent(20)) == [Flapped]
    assert kinds(watch.delivering(20)) == [Good, Sustained]
    assert kinds(watch.silent(20)) == [Suspected, Opened]  # and the next one is a new one


def test_unwatched_seconds_do_not_count_as_good(watch: Watch) -> None:
    lose(watch)
    watch.since_us = watch.now_us
    watch.delivering(4)
    watch.now_us += 300 * SECOND
    watch.mono_us += 300 * SECOND
    found = watch.delivering(8)
    assert found == []  # same session: no flap, but the proof begins anew
    assert kinds(watch.delivering(6)) == [Sustained]


def test_an_unwatched_break_is_a_flap(watch: Watch) -> None:
    lose(watch)
    watch.since_us = watch.now_us
    watch.delivering(4)
    watch.now_us += 300 * SECOND
    watch.mono_us += 300 * SECOND
    watch.since_us = watch.now_us - 10 * SECOND
    assert kinds(watch.delivering(4)) == [Flapped, Good]


# --- after a restart of the controller --------------------------------------------------------------------------------


def test_a_restart_goes_on_with_the_open_outage() -> None:
    watch = Watch(Detector(LIMITS, ADOPTED, open_t0_us=NOW - HOUR))
    assert watch.silent(60, committed_us=NOW - HOUR) == []
    assert kinds(watch.delivering(14)) == [Good, Sustained]


def test_what_came_back_while_nobody_looked_is_restored_since_then() -> None:
    watch = Watch(Detector(LIMITS, ADOPTED, open_t0_us=NOW - 3 * HOUR))
    watch.since_us = NOW - 2 * HOUR
    assert watch.delivering(14) == [Good(NOW - 2 * HOUR), Sustained(NOW - 2 * HOUR)]


def test_a_return_that_ended_while_nobody_looked_is_a_flap() -> None:
    watch = Watch(Detector(LIMITS, ADOPTED, open_t0_us=NOW - HOUR, good_since_us=NOW - MINUTE))
    assert watch.silent(20, committed_us=NOW - 50 * SECOND) == [Flapped()]


def test_a_new_controller_gives_every_camera_the_whole_time_but_back_dates() -> None:
    watch = Watch(Detector(LIMITS, ADOPTED))
    watch.committed_us = NOW - 3 * HOUR
    assert watch.silent(5) == []
    assert opened(watch.silent(10)).t0_us == NOW - 3 * HOUR
