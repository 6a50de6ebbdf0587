"""Which of a camera's profiles is recorded by law. Decides only."""

from collections.abc import Sequence
from dataclasses import dataclass

from edged.discover.port import Profile

# What the recorder can write, best first: where a camera offers several, the first kind wins whatever its size.
RECORDABLE = ("H264",)


@dataclass(frozen=True, slots=True)
class Choice:
    """The main profile, or None and the reason why there is none; `because` is a sentence either way."""

    profile: Profile | None
    because: str


def choose_main(profiles: Sequence[Profile]) -> Choice:
    """The recordable profile with the largest picture; between equals the higher rate, then the camera's own order."""
    fit = [profile for profile in profiles if profile.codec in RECORDABLE]
    if not profiles:
        return Choice(None, "it offers no media profile")
    if not fit:
        offered = ", ".join(sorted({profile.codec or "no video" for profile in profiles}))
        return Choice(None, f"none of its profiles is {' or '.join(RECORDABLE)} (it offers {offered})")
    best = max(
        enumerate(fit),
        key=lambda item: (
            -RECORDABLE.index(item[1].codec),
            item[1].width * item[1].height,
            item[1].fps,
            item[1].bitrate_kbps,
            -item[0],
        ),
    )[1]
    return Choice(best, f"{best.codec} {best.width}x{best.height} is the largest of {len(fit)} recordable profiles")
