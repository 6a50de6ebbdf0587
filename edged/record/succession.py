"""Which streams a successor takes from the recorder it succeeds, and when. Decides only.

Make before break: a stream is taken once the successor has footage of it on the disk. Where the successor cannot get
a session beside the old one, because the camera allows only so many, the old one is ended first.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edged.base.clock import SECOND
from edged.model import Cause, StreamState, StreamStatus
from edged.record.orders import StreamKey

# The longest wait for a keyframe (KEYFRAME_US of a session) and some more; nothing is worth an endless succession.
PATIENCE_US = 150 * SECOND
# Ending the old session would not help against these: they are given some time to pass.
_OWN_TROUBLES = {Cause.DISK, Cause.CREDENTIALS}
OWN_TROUBLES_US = 20 * SECOND


@dataclass(frozen=True, slots=True)
class Taking:
    """Streams to be released now, and those to be released so that the next keyframe is not missed."""

    made: tuple[StreamKey, ...]
    refused: tuple[StreamKey, ...]

    def __bool__(self) -> bool:
        return bool(self.made or self.refused)


def decide(mine: Iterable[StreamStatus], theirs: Iterable[StreamStatus], waited_us: int) -> Taking:
    """What to take of `theirs` now, `waited_us` after the successor began to record `mine`."""
    own = {(one.camera, one.stream): one for one in mine}
    made: list[StreamKey] = []
    refused: list[StreamKey] = []
    for old in theirs:
        key = (old.camera, old.stream)
        new = own.get(key)
        if new is None or old.state is not StreamState.STREAMING or waited_us > PATIENCE_US:
            made.append(key)  # nobody wants it any more, or there is nothing to lose
        elif new.state is StreamState.STREAMING and new.committed_us is not None:
            made.append(key)
        elif new.cause is not None and (new.cause not in _OWN_TROUBLES or waited_us > OWN_TROUBLES_US):
            refused.append(key)
    return Taking(tuple(made), tuple(refused))
