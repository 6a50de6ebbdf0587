"""What is odd or hostile about one camera: named quirks, and how badly its network treats packets. Decides only.

A quirk is something a camera's firmware does, from its start or on command; each one here was met in the field or is
what a hostile device would do. Loss is what happens to RTP packets on the way, seeded and counted (`simulators.line`).
"""

import random
from dataclasses import dataclass, field

QUIRKS = {
    "no-sprop": "the SDP tells no parameter sets",
    "wrong-clock-rate": "the SDP tells 8000 Hz, the packets run at 90000",
    "bogus-rtp-info": "RTP-Info tells numbers that cannot be",
    "options-only": "GET_PARAMETER is answered 405: OPTIONS alone keeps a session alive",
    "redirect": "DESCRIBE is answered 302 with another URL of this camera",
    "no-marker": "the marker bit is never set",
    "timestamp-wrap": "RTP timestamps start two seconds before they wrap",
    "sequence-wrap": "sequence numbers start just before they wrap",
    "padding": "every RTP packet ends in padding",
    "extension": "every RTP packet has a header extension",
    "garbage": "stray bytes and unasked answers between interleaved packets",
    "sticky-slots": "a session that ends without TEARDOWN keeps its slot for the session timeout",
    "huge-headers": "the answer to DESCRIBE has a header of 10 MB",
    "endless-headers": "the answer to DESCRIBE has headers without end",
    "negative-length": "the answer to DESCRIBE has a negative Content-Length",
    "redirect-loop": "DESCRIBE is answered 302 with one more URL, for ever",
    "one-byte-segments": "everything is sent one byte at a time",
    "giant-nal": "after its first keyframe a session is sent one NAL unit of 200 MB",
}
SHARES = ("reorder", "duplicate")
_TOLD = {"reorder": "reordering", "duplicate": "duplicating"}
LONGEST_DELAY_MS = 10_000


class FaultError(ValueError):
    """A fault that cannot be inflicted as asked; the message says why and what would do."""


@dataclass(slots=True)
class Mischief:
    """One camera's oddities. `draw` is theirs alone, so that what clients ask changes no loss."""

    draw: random.Random
    quirks: set[str] = field(default_factory=set)
    shares: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SHARES, 0.0))
    """The share of packets, 0 to 1."""
    delay_us: int = 0
    """The longest a frame's packets are held up."""
    redirect_to: str | None = None
    """Where DESCRIBE is redirected to by a fault."""

    def __post_init__(self) -> None:
        """Raise FaultError for a quirk that does not exist."""
        for name in self.quirks:
            _check_quirk(name)

    @property
    def touches_packets(self) -> bool:
        """Whether packets must be taken one by one."""
        return any(self.shares.values()) or not self.quirks.isdisjoint(("no-marker", "padding", "extension", "garbage"))

    def add_quirk(self, name: str) -> None:
        """From now on the camera does this. Raises FaultError."""
        self.quirks.add(_check_quirk(name))

    def remove_quirk(self, name: str) -> None:
        """From now on it does not. Raises FaultError."""
        self.quirks.discard(_check_quirk(name))

    def set_share(self, kind: str, percent: float) -> None:
        """Reorder or duplicate this share of RTP packets from now on, 0 to 100. Raises FaultError."""
        if not 0 <= percent <= 100:
            raise FaultError(f"cannot {kind} {percent:g} % of packets: want 0 to 100")
        self.shares[kind] = percent / 100

    def set_delay(self, milliseconds: float) -> None:
        """Hold every frame's packets up by something between 0 and this, never past each other. Raises FaultError."""
        if not 0 <= milliseconds <= LONGEST_DELAY_MS:
            raise FaultError(f"cannot delay by {milliseconds:g} ms: want 0 to {LONGEST_DELAY_MS}")
        self.delay_us = round(milliseconds * 1000)

    def told(self) -> list[str]:
        """Each oddity in a few words."""
        words = [f"{_TOLD[kind]} {share * 100:g} %" for kind, share in self.shares.items() if share]
        words += [f"delaying up to {self.delay_us / 1000:g} ms"] if self.delay_us else []
        words += ["redirecting"] if self.redirect_to else []
        return words + [f"quirk {name}" for name in sorted(self.quirks)]


def _check_quirk(name: str) -> str:
    if name not in QUIRKS:
        raise FaultError(f"no quirk is called {name!r}: there are {', '.join(QUIRKS)}")
    return name
