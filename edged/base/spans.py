"""Half-open intervals of time, and their arithmetic. Pure."""

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """The instants from `start_us` (included) to `end_us` (excluded), in microseconds UTC."""

    start_us: int
    end_us: int

    @property
    def length_us(self) -> int:
        return max(0, self.end_us - self.start_us)

    def overlaps(self, other: "Span") -> bool:
        return self.start_us < other.end_us and other.start_us < self.end_us

    def cut_to(self, window: "Span") -> "Span":
        """The part inside `window`; empty (length 0) where they do not overlap."""
        if window.start_us <= self.start_us <= self.end_us <= window.end_us:
            return self
        start = max(self.start_us, window.start_us)
        return Span(start, max(start, min(self.end_us, window.end_us)))


def union(spans: Iterable[Span], *, join_us: int = 0) -> list[Span]:
    """The same instants as sorted, disjoint spans. Neighbours less than or exactly `join_us` apart become one."""
    merged: list[Span] = []
    reached: int | None = None
    for span in sorted(spans):
        start, end = span
        if end <= start:
            continue
        if reached is None or start > reached + join_us:
            merged.append(span)
            reached = end
        elif end > reached:
            merged[-1] = Span(merged[-1].start_us, end)
            reached = end
    return merged


def subtract(window: Span, taken: Iterable[Span]) -> list[Span]:
    """The parts of `window` that no span of `taken` covers, in order."""
    left: list[Span] = []
    at = window.start_us
    for span in union(taken):
        if span.end_us <= window.start_us:
            continue
        if span.start_us >= window.end_us:
            break
        if span.start_us > at:
            left.append(Span(at, span.start_us))
        at = max(at, span.end_us)
    if at < window.end_us:
        left.append(Span(at, window.end_us))
    return left


def total_us(spans: Iterable[Span]) -> int:
    """Microseconds covered by at least one of `spans`."""
    return sum(span.length_us for span in union(spans))
