"""How fast a volume is read again, so that every segment's turn comes within the days that were asked for. Pure."""

# Planned to be through with a tenth of the time to spare: footage is added while the round goes on.
MARGIN = 0.9
# What may be caught up at once after a pause: more would be a burst, and a burst is not idle.
MOST_CREDIT = 64 * 2**20


def bytes_per_second(total_bytes: int, within_s: float) -> float:
    """The even rate at which `total_bytes` are read in MARGIN of `within_s` seconds (> 0)."""
    return total_bytes / (within_s * MARGIN)


def credit_after(credit: float, elapsed_s: float, rate: float, next_bytes: int) -> float:
    """How many bytes may be read now: what was earned, never more than MOST_CREDIT or the next segment's size."""
    return min(credit + elapsed_s * rate, float(max(MOST_CREDIT, next_bytes)))


def wait_s(credit: float, rate: float, next_bytes: int, longest_s: float) -> float:
    """How long to wait until `next_bytes` are earned, at most `longest_s`; 0 where they are."""
    if credit >= next_bytes:
        return 0.0
    return min(longest_s, (next_bytes - credit) / rate) if rate > 0 else longest_s
