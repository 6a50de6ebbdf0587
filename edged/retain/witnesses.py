"""Who vouches for the wall clock beside a time service: a majority of the cameras' own clocks, or two people. Pure.

A camera's clock is remembered against the monotonic clock, so that setting the wall clock cannot make it agree. It has
a voice once two readings of it, asked for at different times, have run on evenly; discovery repeats what it was last
told between two questions, and such a repetition is no reading. Cameras that take their time from this very box prove
nothing: retention.camera_clocks = false silences them.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.errors import Refused
from edged.retain.clock import Reading

AGREE_US = 5 * MINUTE
EVEN_US = MINUTE  # two readings of one clock that differ by more than this show a step, of either clock
FRESH_US = 2 * HOUR
FORGOTTEN_US = DAY
FEWEST = 3  # one camera that is wrong, or two that share a wrong time server, are no majority of anything
CONFIRM_WITHIN_US = HOUR


class ConfirmationRefused(Refused):
    """The retention clock cannot be confirmed like this."""

    code = "RET-020"


@dataclass(frozen=True, slots=True)
class _Voice:
    offset_us: int  # as it was told: wall clock then + this = camera's clock then
    camera_us: int
    mono_us: int
    even: bool


class CameraClocks:
    """What the cameras' clocks last said, in this boot. Times are microseconds."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    def hear(self, camera: str, offset_us: int, wall_us: int, mono_us: int) -> None:
        """`camera` was just found `offset_us` ahead of the wall clock, which stands at `wall_us`."""
        before = self._voices.get(camera)
        if before is not None and before.offset_us == offset_us:
            return  # what was told already, repeated: clocks never differ twice by the same microsecond
        told = wall_us + offset_us
        even = before is not None and abs(before.camera_us + mono_us - before.mono_us - told) <= EVEN_US
        self._voices[camera] = _Voice(offset_us, told, mono_us, even)

    def forget(self, camera: str) -> None:
        """The camera is no longer one of ours."""
        self._voices.pop(camera, None)

    def vouch(self, now: Reading) -> str | None:
        """How the cameras vouch for the wall clock of `now`, for a sentence "the wall clock, which ...", or None."""
        known = [v for v in self._voices.values() if 0 <= now.mono_us - v.mono_us <= FORGOTTEN_US]
        agreeing = [v for v in known if v.even and _agrees(v, now)]
        if len(agreeing) < FEWEST or 2 * len(agreeing) <= len(known):
            return None
        return f"{len(agreeing)} of {len(known)} cameras' clocks confirm"


def _agrees(voice: _Voice, now: Reading) -> bool:
    running = now.mono_us - voice.mono_us
    return running <= FRESH_US and abs(voice.camera_us + running - now.wall_us) <= AGREE_US


def second_person(first: Mapping[str, object] | None, by: str, now: Reading) -> bool:
    """Whether `by` completes the confirmation that `first` began; False where it has to begin anew.

    `first` has by, wall_us, mono_us, boot_id; None where nobody has begun. What two people confirm is one running
    clock: over a boot, an hour or a step the first word no longer counts. Raises ConfirmationRefused where one person
    tries to be both.
    """
    if first is None or first["boot_id"] != now.boot_id:
        return False
    running = now.mono_us - int(str(first["mono_us"]))
    if not 0 <= running <= CONFIRM_WITHIN_US or abs(now.wall_us - int(str(first["wall_us"])) - running) > EVEN_US:
        return False
    if same_person(str(first["by"]), by):
        raise ConfirmationRefused(f"{by} has confirmed already", hint="a second, different person has to confirm too")
    return True


def same_person(one: str, other: str) -> bool:
    """Case, width and blanks do not make two people of one."""

    def plain(name: str) -> str:
        return "".join(unicodedata.normalize("NFKC", name).casefold().split())

    return plain(one) == plain(other)
