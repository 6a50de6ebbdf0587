"""Whether a stream delivers, judged once a second from what the recorder committed. Pure: time comes as arguments.

The truth is `committed_us`, the end of the last frame written to the volume, moving on: not a connected session, not
a running process (PEERS 6.4). It moves in steps of a fragment, so a healthy stream is always a little behind.

Silence is counted on the monotonic clock from the last good frame. The wall clock only labels, and once per advance
tells how old the newest frame was when it was seen (a recorder may commit the rest of a fragment long after the
camera went quiet, and that must not start the count anew).

Doubt about ourselves is not a fault of the camera. Then the count begins anew, and the beginning of an outage that
comes of it is still the last good frame:

- this process was stalled: what it reads next is old;
- the wall clock stepped away from the monotonic one;
- the recorder went silent, or came back: a camera needs time to be connected again.

Except for stalls, each reason is heard once per silence, so that a recorder that keeps crashing, or a clock that
keeps stepping, cannot hide an outage for ever.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

from edged.base.clock import SECOND
from edged.config.records import OutageConfig
from edged.model import Cause, StreamState, StreamStatus
from edged.outage.lifecycle import Event, State, move

# A healthy stream is behind by one fragment, one second of status and the way to the disk; a limit below that would
# accuse every camera all the time.
SLACK_US = 3 * SECOND
STALLED_US = 3 * SECOND  # status comes once a second: missing two in a row is our own stall
STEP_US = 2 * SECOND  # the clocks part by more than NTP ever slews within one observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """How long is silent, and how long is good. Microseconds of monotonic time."""

    suspect_after_us: int
    outage_after_us: int
    sustained_us: int

    @classmethod
    def of(cls, config: OutageConfig, fragment_seconds: float) -> Self:
        """The configured limits, raised where a healthy stream with such fragments would not meet them."""
        least = round(fragment_seconds * SECOND) + SLACK_US
        return cls(
            suspect_after_us=max(least, round(config.suspect_after * SECOND)),
            outage_after_us=max(least, round(config.outage_after * SECOND)),
            sustained_us=round(config.sustained * SECOND),
        )


@dataclass(frozen=True, slots=True)
class Suspected:
    """Silent for long enough to be looked at."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """A suspicion that did not come true."""


@dataclass(frozen=True, slots=True)
class Opened:
    """It is an outage, and began at `t0_us`: the end of the last good frame known here."""

    t0_us: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Good:
    """Frames again within an outage, the first of them by `since_us`; not yet for long enough to count."""

    since_us: int


@dataclass(frozen=True, slots=True)
class Flapped:
    """The return was too short; the outage goes on."""


@dataclass(frozen=True, slots=True)
class Sustained:
    """Good for the whole sustained period; restored since its first good frame."""

    restored_at_us: int


Happening = Suspected | Cleared | Opened | Good | Flapped | Sustained


class _Excuse(Enum):
    STEPPED = auto()  # the wall clock
    LOST = auto()  # the recorder went silent
    BACK = auto()  # the recorder is there again


class Detector:
    """Watches one stream. Feed it at least once a second; `copy.copy` gives an independent one.

    `adopted_us` is the beginning for a stream that never delivered. An outage that was already open when this process
    began is given by `open_t0_us`, and by `good_since_us` where its feed had come back but not proved itself.
    """

    def __init__(
        self,
        thresholds: Thresholds,
        adopted_us: int,
        *,
        open_t0_us: int | None = None,
        good_since_us: int | None = None,
    ) -> None:
        self._limits = thresholds
        self._known_end_us = adopted_us if open_t0_us is None else open_t0_us  # no outage begins before it
        self._committed_us = open_t0_us
        self._last_good_mono_us: int | None = None
        self._baseline_mono_us: int | None = None  # silence before it is excused
        self._excuses: frozenset[_Excuse] = frozenset()
        self._watched: tuple[int, int] | None = None  # wall and monotonic reading of the last observation
        self._alive = True
        self._blind = True  # frames may have come and gone that nobody watched
        self._good_since_us = good_since_us
        self._good_mono_us: int | None = None
        self._t0_us = open_t0_us
        self.state = State.STEADY if open_t0_us is None else State.OUTAGE

    def observe(
        self, now_us: int, mono_us: int, status: StreamStatus | None, recorder_alive: bool
    ) -> tuple[Happening, ...]:
        """Take one look; returns what it means, in order.

        `status` is None where the recorder does not name the stream, or is not there itself.
        """
        if not recorder_alive:
            status = None  # what it said last is old
        self._doubt_ourselves(now_us, mono_us)
        self._doubt_the_recorder(mono_us, recorder_alive)
        if self._baseline_mono_us is None:
            self._baseline_mono_us = mono_us
        committed = status.committed_us if status is not None else None
        advanced = committed is not None and committed != self._committed_us
        if committed is not None and advanced:
            advanced = self._advance(committed, now_us, mono_us)
        silent_us = mono_us - max(self._baseline_mono_us, self._last_good_mono_us or 0)
        if self.state is State.OUTAGE:
            happened = self._while_open(status, advanced, silent_us)
        elif status is not None and status.cause is Cause.PLANNED:
            happened = self._while_planned(now_us, mono_us)
        else:
            happened = self._while_watching(now_us, mono_us, status, recorder_alive, silent_us)
        return tuple(happened)

    # --- doubts ---------------------------------------------------------------------------------------------------

    def _doubt_ourselves(self, now_us: int, mono_us: int) -> None:
        before, self._watched = self._watched, (now_us, mono_us)
        if before is None:
            return
        passed = mono_us - before[1]
        if passed > STALLED_US:
            self._baseline_mono_us = mono_us
            self._blind = True
        if abs(now_us - before[0] - passed) > STEP_US:
            self._excuse(_Excuse.STEPPED, mono_us)
            self._blind = True

    def _doubt_the_recorder(self, mono_us: int, alive: bool) -> None:
        if alive != self._alive:
            self._excuse(_Excuse.BACK if alive else _Excuse.LOST, mono_us)
        self._alive = alive

    def _excuse(self, why: _Excuse, mono_us: int) -> None:
        if why not in self._excuses:
            self._excuses |= {why}
            self._baseline_mono_us = mono_us

    # --- facts ----------------------------------------------------------------------------------------------------

    def _advance(self, committed_us: int, now_us: int, mono_us: int) -> bool:
        """Take note of newly committed footage; whether it is fresh, or old frames that were only written late."""
        before, last = self._committed_us, self._last_good_mono_us
        good = mono_us - max(0, now_us - committed_us)
        if before is not None and last is not None:
            # After a step of the wall clock the labels may be old for a while; footage still does not age faster than
            # it is recorded.
            good = max(good, last + committed_us - before)
        self._committed_us = committed_us
        self._last_good_mono_us = min(mono_us, good)
        if mono_us - self._last_good_mono_us >= self._limits.suspect_after_us:
            return False
        self._excuses = frozenset()
        return True

    def _t0(self, now_us: int, mono_us: int) -> int:
        label, last = self._committed_us, self._last_good_mono_us
        if label is not None and last is not None and (label > now_us or _Excuse.STEPPED in self._excuses):
            # The wall clock stepped during the silence: by its old label the outage would be as old as the step is
            # wide, and its deadlines over at once or far away.
            label = now_us - (mono_us - last)
        return max((at for at in (label, self._known_end_us) if at is not None and at <= now_us), default=now_us)

    # --- judgements -----------------------------------------------------------------------------------------------

    def _while_watching(
        self, now_us: int, mono_us: int, status: StreamStatus | None, alive: bool, silent_us: int
    ) -> list[Happening]:
        happened: list[Happening] = []
        if silent_us < self._limits.suspect_after_us:
            return self._clear()
        if self.state is State.STEADY:
            self.state = move(self.state, Event.SILENCE)
            happened.append(Suspected())
        if silent_us >= self._limits.outage_after_us:
            self.state = move(self.state, Event.CONFIRMED)
            self._t0_us = self._t0(now_us, mono_us)
            self._blind = False
            happened.append(Opened(self._t0_us, self._cause(status, alive)))
        return happened

    def _while_planned(self, now_us: int, mono_us: int) -> list[Happening]:
        self._known_end_us = now_us  # an outage after a planned stop begins where the plan ended
        self._baseline_mono_us = mono_us
        return self._clear()

    def _clear(self) -> list[Happening]:
        if self.state is State.STEADY:
            return []
        self.state = move(self.state, Event.FRAMES)
        return [Cleared()]

    def _while_open(self, status: StreamStatus | None, advanced: bool, silent_us: int) -> list[Happening]:
        happened: list[Happening] = []
        if advanced and status is not None:
            happened += self._returning(status)
            self._blind = False
        elif silent_us >= self._limits.suspect_after_us:
            self._blind = False  # whatever happened unwatched, it is silent now
            if self._good_since_us is not None:
                self._good_since_us = self._good_mono_us = None
                happened.append(Flapped())
        if self._good_since_us is not None and self._proven_us() >= self._limits.sustained_us:
            happened.append(Sustained(self._good_since_us))
            self.state = State.STEADY  # the incident is over; the next one begins from here
            self._good_since_us = self._good_mono_us = self._t0_us = None
        return happened

    def _proven_us(self) -> int:
        """How long frames have come without a break that anyone watched."""
        if self._last_good_mono_us is None or self._good_mono_us is None:
            return 0
        return self._last_good_mono_us - self._good_mono_us

    def _returning(self, status: StreamStatus) -> list[Happening]:
        if self._good_since_us is not None and not self._blind:
            return []
        happened: list[Happening] = []
        self._good_mono_us = self._last_good_mono_us  # what nobody watched does not count towards the proof
        streaming_since = status.since_us if status.state is StreamState.STREAMING else None
        if self._good_since_us is not None:
            if streaming_since is not None and streaming_since <= self._good_since_us:
                return happened  # unwatched, but within one session of the recorder's: unbroken
            happened.append(Flapped())
        t0, committed = self._t0_us or 0, status.committed_us or 0
        # The end of the first fragment after the silence: its first frame lies at most one fragment (2 s) earlier.
        # Where it came back unwatched, the session's beginning tells when.
        if self._blind and streaming_since is not None and t0 < streaming_since <= committed:
            committed = streaming_since
        self._good_since_us = max(t0, committed)
        happened.append(Good(self._good_since_us))
        return happened

    def _cause(self, status: StreamStatus | None, alive: bool) -> Cause:
        if not alive:
            return Cause.RECORDER
        if status is not None and status.cause is not None:
            return status.cause
        if _Excuse.LOST in self._excuses:
            return Cause.RECORDER
        if status is None or status.state is not StreamState.STREAMING:
            return Cause.UNREACHABLE if status is not None else Cause.UNKNOWN
        # It streams, says the recorder: either frames come and are not written, or none come.
        written, arrived = status.committed_us, status.last_frame_us
        if arrived is None or (written is not None and arrived - written < self._limits.suspect_after_us):
            return Cause.STALLED
        return Cause.DISK
