"""The retention clock: the time that deletion asks (I10). `advance` is pure; `tick` keeps its state in the index.

A wall clock can be set, and a dead RTC battery sets it without asking; deleting by it costs evidence. So the retention
clock moves forward with running time (monotonic, proven), never backward, and is never believed ahead of the wall
clock. Time nobody saw running, over a power-off or an adjustment of the wall clock, is taken over only when the kernel
says that a time service disciplines the clock, or while all of it since the last such moment comes to no more than one
hour. What is not taken over leaves the clock behind: footage is kept longer, never shorter.
"""

import dataclasses
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append
from edged.base.clock import HOUR, MINUTE, Clock

# What may be taken over without corroboration, in all, since the clock was last corroborated.
UNPROVEN_US = HOUR
# A wall clock this far behind is still believed: time services slew and step by less.
BEHIND_US = 5 * MINUTE
# A step of the wall clock from here on is written to the ledger.
NOTABLE_US = MINUTE
_UNPROVEN_KEY = "retention_clock_unproven_us"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Both clocks at one instant."""

    wall_us: int
    mono_us: int
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionState:
    """What is remembered between ticks. `unproven_us` is how much was taken over since the last corroboration."""

    retention_us: int
    reading: Reading
    unproven_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionTime:
    """The retention clock now. Where it is not `trusted`, nothing may be deleted; `why` says how it stands."""

    retention_us: int
    trusted: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """One tick: the new state, what to believe of it, and what the ledger must hear (None: nothing)."""

    state: RetentionState
    time: RetentionTime
    event: str | None


def begin(now: Reading, *, ntp: bool, newest_end_us: int | None) -> Advance:
    """The first tick of an index. `newest_end_us` is the end of the newest footage in it, None where it holds none.

    With footage but without corroboration (a lost database on a box whose clock nobody vouches for) the clock begins at
    the newest footage at most: that instant was reached once.
    """
    if ntp or newest_end_us is None:
        start, why = now.wall_us, "begins at the wall clock" + (", which a time service disciplines" if ntp else "")
    else:
        start = min(now.wall_us, newest_end_us)
        why = "begins at the newest footage: no time service vouches for the wall clock"
    state = RetentionState(retention_us=start, reading=now, unproven_us=0)
    return Advance(state=state, time=RetentionTime(retention_us=start, trusted=True, why=why), event=why)


def advance(state: RetentionState, now: Reading, *, ntp: bool) -> Advance:
    """The state after `now`, which is a later reading on the same box. Never moves backward."""
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
    behind = now.wall_us - retention
    trusted = behind >= -BEHIND_US
    if not trusted:
        why = f"the wall clock stands {_span(-behind)} before the retention clock; nothing is deleted until it is right"
    elif behind > BEHIND_US:
        why = f"runs {_span(behind)} behind the wall clock, which nobody has corroborated"
    else:
        why = "runs with the wall clock" + (", which a time service disciplines" if ntp else "")
    return Advance(
        state=RetentionState(retention_us=retention, reading=now, unproven_us=unproven),
        time=RetentionTime(retention_us=retention, trusted=trusted, why=why),
        event=_event(unseen, retention - state.retention_us - proven, same_boot),
    )


async def tick(database: Database, clock: Clock, ntp: Callable[[], bool]) -> RetentionTime:
    """Move the retention clock to now, durably, and tell how it stands.

    Call it only once the journals have been read into the index: a still empty index begins at the wall clock.
    """
    now = Reading(wall_us=clock.wall_us(), mono_us=clock.monotonic_us(), boot_id=clock.boot_id())
    return await database.write(_tick, now, ntp())


def read_state(connection: sqlite3.Connection) -> RetentionState | None:
    """The state of the last tick, None before the first."""
    row = connection.execute("SELECT * FROM retention_clock").fetchone()
    if row is None:
        return None
    unproven = connection.execute("SELECT value FROM meta WHERE key = ?", (_UNPROVEN_KEY,)).fetchone()
    return RetentionState(
        retention_us=row["retention_us"],
        reading=Reading(wall_us=row["wall_us"], mono_us=row["mono_us"], boot_id=row["boot_id"]),
        unproven_us=0 if unproven is None else json.loads(unproven["value"]),
    )


def _tick(connection: sqlite3.Connection, now: Reading, ntp: bool) -> RetentionTime:
    state = read_state(connection)
    if state is None:
        # Two full scans, once in the life of an index: coverage also remembers what has been deleted.
        row = connection.execute(
            "SELECT max(end_us) AS newest FROM (SELECT end_us FROM segment UNION ALL SELECT end_us FROM coverage)"
        ).fetchone()
        step = begin(now, ntp=ntp, newest_end_us=row["newest"])
    else:
        step = advance(state, now, ntp=ntp)
    connection.execute(
        "INSERT INTO retention_clock (one, retention_us, mono_us, boot_id, wall_us)"
        " VALUES (1, :retention_us, :mono_us, :boot_id, :wall_us) ON CONFLICT (one) DO UPDATE"
        " SET retention_us = :retention_us, mono_us = :mono_us, boot_id = :boot_id, wall_us = :wall_us",
        {"retention_us": step.state.retention_us, **dataclasses.asdict(now)},
    )
    if state is None or state.unproven_us != step.state.unproven_us:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (_UNPROVEN_KEY, json.dumps(step.state.unproven_us)),
        )
    if step.event is not None:
        body = {
            "event": step.event,
            "ntp": ntp,
            "retention_before_us": None if state is None else state.retention_us,
            "wall_before_us": None if state is None else state.reading.wall_us,
            "retention_us": step.state.retention_us,
            **dataclasses.asdict(now),
        }
        append(connection, now.wall_us, LedgerKind.CLOCK_EVENT, body)
    return step.time


def _event(unseen: int, jumped: int, same_boot: bool) -> str | None:
    """What a tick did that was not plain running, worth an entry; `jumped` is the retention clock's own step."""
    if abs(unseen) < NOTABLE_US and abs(jumped) < NOTABLE_US:
        return None
    if abs(unseen) < NOTABLE_US:
        return f"the retention clock moved by {_span(jumped)}" if jumped > 0 else None
    what = f"the wall clock moved {_span(abs(unseen))} {'forward' if unseen > 0 else 'back'}"
    what += "" if same_boot else " over a boot"
    if jumped >= NOTABLE_US:
        return f"{what}; the retention clock followed by {_span(jumped)}"
    return f"{what}; the retention clock did not follow"


def _span(us: int) -> str:
    minutes = us // MINUTE
    return f"{minutes // 1440} d {minutes // 60 % 24} h {minutes % 60} min"
