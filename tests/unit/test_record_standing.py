"""When streams come back to a volume that had failed: later after each failure, at once after none."""

from edged.base.clock import SECOND
from edged.record.disk.standing import LONGEST_PROBATION_US, NOT_OPENED, PROBATION_US, Standing


def waits_for(standing: Standing, opened_us: int) -> int:
    """How long after it was opened the volume is trusted, to a second."""
    seconds = range(LONGEST_PROBATION_US // SECOND + 2)
    return next(SECOND * after for after in seconds if standing.trusted(opened_us + after * SECOND))


def test_a_volume_is_trusted_as_soon_as_it_is_first_opened() -> None:
    standing = Standing()
    assert (standing.reason, standing.trusted(0), standing.has_failed) == (NOT_OPENED, False, False)
    assert standing.failed("no such folder", SECOND, full=False)
    assert not standing.has_failed, "it was never well"
    standing.opened(2 * SECOND)
    assert (standing.reason, waits_for(standing, 2 * SECOND)) == ("", 0)


def test_each_failure_soon_after_another_doubles_the_wait_up_to_a_limit() -> None:
    standing, at_us, waits = Standing(), 0, []
    standing.opened(at_us)
    for _ in range(10):
        at_us += SECOND
        assert standing.failed("input/output error", at_us, full=False)
        assert not standing.trusted(at_us + LONGEST_PROBATION_US), "fenced"
        standing.opened(at_us)
        waits.append(waits_for(standing, at_us))
    assert waits[:4] == [PROBATION_US, 2 * PROBATION_US, 4 * PROBATION_US, 8 * PROBATION_US]
    assert waits[-3:] == [LONGEST_PROBATION_US] * 3


def test_a_volume_that_was_well_for_long_begins_anew() -> None:
    standing = Standing()
    standing.opened(0)
    standing.failed("input/output error", SECOND, full=False)
    standing.failed("input/output error", 2 * SECOND, full=False)  # still cannot be opened: the same failure
    standing.opened(3 * SECOND)
    late_us = 3 * SECOND + LONGEST_PROBATION_US + SECOND
    standing.failed("input/output error", late_us, full=False)
    standing.opened(late_us)
    assert waits_for(standing, late_us) == PROBATION_US


def test_only_another_reason_is_news_and_a_full_volume_says_so() -> None:
    standing = Standing()
    standing.opened(0)
    full, other = "no space left on device", "input/output error"
    told = [(standing.failed(full, SECOND, full=True), standing.full)]
    told.append((standing.failed(full, 2 * SECOND, full=True), standing.full))
    told.append((standing.failed(other, 3 * SECOND, full=False), standing.full))
    told.append((standing.failed(full, 4 * SECOND, full=True), standing.full))
    assert told == [(True, True), (False, True), (True, False), (True, True)]
    standing.opened(5 * SECOND)
    assert not standing.full
