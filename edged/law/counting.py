"""Counting days as the law does: local civil days, never multiples of 24 hours. Pure.

None of the five local texts defines counting; Civil Code arts. 200-203 are used by analogy: the day on which the
period begins is not counted and the last day ends at 24:00. So footage whose last frame falls on local day D and whose
floor is N days must stay through day D+N, and may go from 00:00 of day D+N+1.
"""

import datetime as dt
import zoneinfo

from edged.base.clock import DAY, HOUR
from edged.base.spans import Span

# 2026-01-01 UTC: nothing was recorded by edged before.
EARLIEST_US = 1_767_225_600_000_000
# A label is believed that far behind the retention clock: as much as that clock takes over on nobody's word. More would
# let a clock that was a few hours slow, and right again before anybody looked, shorten a floor by as much.
BELIEVED_BEHIND_US = HOUR
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


def local_time(at_us: int, tz: zoneinfo.ZoneInfo) -> dt.datetime:
    """The instant `at_us` (microseconds UTC) in civil time, with its offset: what people are told."""
    return (_EPOCH + dt.timedelta(microseconds=at_us)).astimezone(tz)


def local_date(at_us: int, tz: zoneinfo.ZoneInfo) -> dt.date:
    """The civil day in `tz` that contains the instant `at_us` (microseconds UTC)."""
    return local_time(at_us, tz).date()


def keep_until_us(end_us: int, days: int, tz: zoneinfo.ZoneInfo) -> int:
    """The first instant at which footage ending at `end_us` may go, under a floor of `days` civil days (>= 1).

    An end at midnight exactly belongs to the day that begins, which keeps it one day longer, never shorter. Where a
    zone changes its offset in between, the later of the possible midnights counts, and never less than `days` times
    24 hours: an hour lost to summer time must not shorten a minimum.
    """
    return max(free_from_us(local_date(end_us, tz), days, tz), end_us + days * DAY)


def free_from_us(last_day: dt.date, days: int, tz: zoneinfo.ZoneInfo) -> int:
    """The midnight from which footage whose last frame falls on `last_day` may go; the later one where there are two.

    Less an hour lost to summer time, which only `keep_until_us` makes good.
    """
    if days < 1:
        raise ValueError(f"a floor has at least one day, not {days}")
    free_on = last_day + dt.timedelta(days=days + 1)
    midnight = dt.datetime(free_on.year, free_on.month, free_on.day, tzinfo=tz)
    return max(_us(midnight.replace(fold=fold)) for fold in (0, 1))


def counted_end_us(end_us: int, now_us: int, retention_us: int | None, recorded_us: int | None = None) -> int:
    """From which instant the floor of a segment labelled `end_us` is counted when it enters the index at `now_us`.

    Normally its end. But a label from before edged existed, or clearly behind the retention clock, may come from a wall
    clock that had fallen back (a dead RTC battery says 1970): counted from such a label, fresh footage
    would be past its floor at once. Where the monotonic clock of the same boot tells when it ended, `recorded_us` by
    the later of both clocks, it is counted from then, and so from its label where that is right: footage may come late.
    Else it is counted from the later of both clocks now: kept longer, never shorter (I1). `retention_us` is the
    retention clock now, None where none has started yet.
    """
    if end_us < EARLIEST_US or (retention_us is not None and retention_us - end_us > BELIEVED_BEHIND_US):
        return max(end_us, max(now_us, retention_us or now_us) if recorded_us is None else recorded_us)
    return end_us


def corrected_end_us(end_us: int, labels: Span, shift_us: int, at_us: int) -> int | None:
    """The latest instant at which footage labelled `end_us` can have ended, where a clock that wrote `labels` was found
    at `at_us` to have been wrong by up to `shift_us`. None where the label is not one of them.

    What ended as the first of them was written is not in doubt, and nothing was recorded later than it was found.
    """
    if labels.start_us < end_us <= labels.end_us:
        return min(end_us + shift_us, max(at_us, end_us))
    return None


def _us(at: dt.datetime) -> int:
    return (at.astimezone(dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1)
