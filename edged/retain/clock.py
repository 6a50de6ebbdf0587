"""The retention clock: the time that deletion asks (I10). Pure; `timekeeping` keeps its state in the index.

A wall clock can be set, and a dead RTC battery sets it without asking; deleting by it costs evidence. So the retention
clock moves forward with running time (monotonic, proven), never backward, and is never believed ahead of the wall
clock. Time nobody saw running, over a power-off or an adjustment of the wall clock, is taken over only when the kernel
says that a time service disciplines the clock, when a majority of the cameras' clocks or two people vouch for it (see
`witnesses`), or while all of it since the last such moment comes to no more than one hour. What is not taken over
leaves the clock behind: footage is kept longer, never shorter.

When a wrong wall clock is put right, footage it has labelled in the meantime was recorded later than its label says.
A `Correction` tells which labels and by how much at most; their floors are then counted from as much later (I1).

What is remembered between ticks lies in the index, where others can write, too. The ledger is told every step of the
clock, and once in MARK_US where it stands; a state that is ahead of what has run since is not `believed`.
"""

from dataclasses import dataclass

from edged.base.clock import HOUR, MINUTE
from edged.base.spans import Span
from edged.law.counting import EARLIEST_US

# What may be taken over without corroboration, in all, since the clock was last corroborated.
UNPROVEN_US = HOUR
# A wall clock this far behind is still believed: time services slew and step by less.
BEHIND_US = 5 * MINUTE
# A step from here on is written to the ledger and makes labels doubtful.
NOTABLE_US = MINUTE
# How often the ledger is told where the clock stands, by running time; and at the first tick of every boot.
MARK_US = HOUR
# By how much the clock may be ahead of what the ledger knows: what it takes over, in all, in steps not worth an entry.
UNTOLD_US = UNPROVEN_US + NOTABLE_US
# Settings of the wall clock that are told apart; of more than these the oldest are taken together.
MOST_DOUBTS = 32
A_TIME_SERVICE = "a time service disciplines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Both clocks at one instant."""

    wall_us: int
    mono_us: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Labels that one setting of the wall clock wrote and nobody has vouched for, as far as ticks saw; and by how much
    the wall clock was set forward since, which is how much younger their footage is than they say beside it."""

    labels: Span
    slow_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionState:
    """What is remembered between ticks. `unproven_us` is how much was taken over since the last corroboration,
    `doubts` the labels written since then, the oldest first, and never empty."""

    retention_us: int
    reading: Reading
    unproven_us: int
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionTime:
    """The retention clock now. Where it is not `trusted`, nothing may be deleted; `why` says how it stands."""

    retention_us: int
    trusted: bool
    why: str


@dataclass(frozen=True, slots=True)
class Correction:
    """Footage whose end is labelled within `labels` may have been recorded up to `shift_us` later than it says."""

    labels: Span
    shift_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """One tick: the new state, what to believe of it, what the ledger must hear, and what must be counted anew."""

    state: RetentionState
    time: RetentionTime
    event: str | None
    corrections: tuple[Correction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Where the retention clock stood by the ledger's newest word, and what the other clocks said."""

    retention_us: int
    reading: Reading


def believed(state: RetentionState, told: Told | None, now: Reading) -> RetentionState | None:
    """`state` where it is what running time since `told` makes of it, and else the state that the ledger tells of.

    None where the ledger tells of none. Never a later one than `state` is.
    """
    if told is None:
        return None
    at = state.reading
    ran = at.mono_us - told.reading.mono_us
    seen = at.boot_id == told.reading.boot_id and 0 <= ran < MARK_US
    not_yet = at.boot_id == now.boot_id and at.mono_us > now.mono_us
    if seen and not not_yet and state.retention_us - told.retention_us <= ran + UNTOLD_US:
        return state
    oldest, slow_us = state.doubts[0].labels, state.doubts[0].slow_us
    return RetentionState(
        retention_us=min(state.retention_us, told.retention_us),
        reading=told.reading,
        unproven_us=UNPROVEN_US,
        doubts=(Doubt(Span(min(oldest.start_us, told.reading.wall_us), oldest.end_us), slow_us), *state.doubts[1:]),
    )


def begin(now: Reading, *, ntp: bool, reached_us: int | None) -> Advance:
    """The first tick of an index. `reached_us` is an instant that was reached for certain, None where the index is new.

    Where there was an index before (a lost database) and no time service vouches for the wall clock, the clock begins
    at that instant at most. The newest label is none: a wall clock that once stood years ahead wrote it. What was
    labelled since then, or since the box was switched on, is in doubt until somebody vouches for the wall clock.

    Footage that is there before the first tick was stamped without a retention clock. What a dead battery labelled
    before edged existed was recorded up to now.
    """
    if ntp or reached_us is None:
        start, why = now.wall_us, "begins at the wall clock" + (", which a time service disciplines" if ntp else "")
    else:
        start = min(now.wall_us, reached_us)
        why = "begins where it was last known to stand: no time service vouches for the wall clock"
    dated = now.wall_us >= EARLIEST_US
    doubt_from = now.wall_us if dated else 0
    if not ntp and reached_us is not None:
        doubt_from = max(0, min(doubt_from, reached_us, now.wall_us - now.mono_us))
    doubt = Doubt(Span(doubt_from, max(doubt_from, now.wall_us)), 0)
    state = RetentionState(retention_us=start, reading=now, unproven_us=0, doubts=(doubt,))
    time = RetentionTime(retention_us=start, trusted=_trusted(start, now.wall_us), why=why)
    corrections = (Correction(Span(0, EARLIEST_US), now.wall_us),) if dated else ()
    return Advance(state=state, time=time, event=why, corrections=corrections)


def advance(state: RetentionState, now: Reading, *, ntp: bool, voucher: str = A_TIME_SERVICE) -> Advance:
    """The state after `now`, which is a later reading on the same box. Never moves backward.

    `ntp` says whether anybody vouches for the wall clock, `voucher` who: a time service, or one of `witnesses`.
    """
    last = state.reading
    same_boot = now.boot_id == last.boot_id and now.mono_us >= last.mono_us
    # Since a boot the monotonic clock has counted from zero, so at least its reading has passed since the last tick.
    proven = now.mono_us - last.mono_us if same_boot else now.mono_us
    unseen = now.wall_us - last.wall_us - proven
    unproven = state.unproven_us
    target = state.retention_us + proven
    if ntp:
        target, unproven = max(target, now.wall_us), 0
    elif 0 < unseen <= UNPROVEN_US - unproven:
        target, unproven = target + unseen, unproven + unseen
    retention = max(state.retention_us, min(target, now.wall_us))
    trusted = _trusted(retention, now.wall_us)
    jumped = retention - state.retention_us - proven
    doubts = _doubts(state.doubts, last, now, proven, same_boot=same_boot)
    corrections: tuple[Correction, ...] = ()
    if trusted and max(unseen, jumped) >= NOTABLE_US and (ntp or not _trusted(state.retention_us, last.wall_us)):
        older = doubts if abs(unseen) < NOTABLE_US else doubts[:-1]  # the newest are of the clock that is right
        corrections = tuple(
            Correction(Span(doubt.labels.start_us, doubt.labels.end_us + 1), max(doubt.slow_us, jumped))
            for doubt in older
            if max(doubt.slow_us, jumped) >= NOTABLE_US
        )
    if trusted and ntp:
        doubts = (Doubt(Span(now.wall_us, now.wall_us), 0),)
    return Advance(
        state=RetentionState(
            retention_us=retention,
            reading=now,
            unproven_us=unproven,
            doubts=doubts,
        ),
        time=RetentionTime(
            retention_us=retention,
            trusted=trusted,
            why=_standing(now.wall_us - retention, trusted=trusted, voucher=voucher if ntp else ""),
        ),
        event=_event(unseen, jumped, same_boot=same_boot),
        corrections=corrections,
    )


def _doubts(
    doubts: tuple[Doubt, ...], last: Reading, now: Reading, proven: int, *, same_boot: bool
) -> tuple[Doubt, ...]:
    """What nobody has vouched for since, with what was labelled between the two readings."""
    *older, newest = doubts
    unseen = now.wall_us - last.wall_us - proven
    # The wall clock ran on for as long as passed at most; but after a boot that nobody watched it may have stood
    # anywhere.
    ran_to = last.wall_us + proven if same_boot else max(last.wall_us + proven, now.wall_us)
    labels = Span(newest.labels.start_us, max(newest.labels.end_us, ran_to))
    older = [Doubt(doubt.labels, doubt.slow_us + unseen) for doubt in older]
    since = now.wall_us - proven
    if abs(unseen) < NOTABLE_US:  # slewed at most
        labels = Span(min(labels.start_us, since), max(labels.end_us, now.wall_us))
        kept = [*older, Doubt(labels, max(0, newest.slow_us + unseen))]
    else:
        kept = [*older, Doubt(labels, newest.slow_us + unseen), Doubt(Span(since, now.wall_us), 0)]
    if len(kept) > MOST_DOUBTS:
        one, other, *kept = kept
        hull = Span(min(one.labels.start_us, other.labels.start_us), max(one.labels.end_us, other.labels.end_us))
        kept = [Doubt(hull, max(one.slow_us, other.slow_us)), *kept]
    return tuple(kept)


def _trusted(retention_us: int, wall_us: int) -> bool:
    """Not before edged existed either: such a clock knows neither how old footage is nor which law is in force."""
    return wall_us >= EARLIEST_US and retention_us - wall_us <= BEHIND_US


def _standing(behind: int, *, trusted: bool, voucher: str) -> str:
    if not trusted and behind >= -BEHIND_US:
        return "the wall clock says a time before edged existed; nothing is deleted meanwhile"
    if not trusted:
        return f"the wall clock stands {_span(-behind)} before the retention clock; nothing is deleted meanwhile"
    if behind > BEHIND_US:
        return f"runs {_span(behind)} behind the wall clock, which nobody has corroborated"
    return "runs with the wall clock" + (f", which {voucher}" if voucher else "")


def _event(unseen: int, jumped: int, *, same_boot: bool) -> str | None:
    """What a tick did that was not plain running, worth an entry; `jumped` is the retention clock's own step."""
    if abs(unseen) < NOTABLE_US:
        return f"the retention clock moved by {_span(jumped)}" if jumped >= NOTABLE_US else None
    what = f"the wall clock moved {_span(abs(unseen))} {'forward' if unseen > 0 else 'back'}"
    what += "" if same_boot else " over a boot"
    if jumped >= NOTABLE_US:
        return f"{what}; the retention clock followed by {_span(jumped)}"
    return f"{what}; the retention clock did not follow"


def _span(us: int) -> str:
    minutes = us // MINUTE
    return f"{minutes // 1440} d {minutes // 60 % 24} h {minutes % 60} min"
