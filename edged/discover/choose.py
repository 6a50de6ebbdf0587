"""Which of a camera's profiles is recorded by law, and which as its small stream. Decides only."""

from collections.abc import Sequence
from dataclasses import dataclass

from edged.discover.port import Profile

# What the recorder can write. Motion JPEG only where there is nothing else: it takes ten times the disk.
VIDEO = ("H264", "H265")
RECORDABLE = (*VIDEO, "JPEG")


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen profile, or None and the reason why there is none; `because` is a sentence either way."""

    profile: Profile | None
    because: str


def choose_main(profiles: Sequence[Profile]) -> Choice:
    """The recordable profile with the largest picture.

    Between equals H.264, which everybody can play, then the higher rate, then the camera's own order.
    """
    fit = [profile for profile in profiles if profile.codec in RECORDABLE]
    if not profiles:
        return Choice(None, "it offers no media profile")
    if not fit:
        offered = ", ".join(sorted({profile.codec or "no video" for profile in profiles}))
        return Choice(None, f"none of its profiles is {' or '.join(RECORDABLE)} (it offers {offered})")
    best = max(
        enumerate(fit),
        key=lambda item: (
            item[1].codec in VIDEO,
            _area(item[1]),
            -RECORDABLE.index(item[1].codec),
            item[1].fps,
            item[1].bitrate_kbps,
            -item[0],
        ),
    )[1]
    return Choice(best, f"{best.codec} {best.width}x{best.height} is the largest of {len(fit)} recordable profiles")


def choose_sub(profiles: Sequence[Profile], main: Profile) -> Choice:
    """The H.264 or H.265 profile with the smallest picture, other than `main`.

    Between equals H.264, then the lower rate, then the camera's own order.
    """
    fit = [profile for profile in profiles if profile.codec in VIDEO and profile.token != main.token]
    if not fit:
        return Choice(None, "it offers no second H.264 or H.265 profile")
    best = min(
        enumerate(fit),
        key=lambda item: (
            _area(item[1]),
            VIDEO.index(item[1].codec),
            item[1].fps,
            item[1].bitrate_kbps,
            item[0],
        ),
    )[1]
    return Choice(best, f"{best.codec} {best.width}x{best.height} is the smallest of {len(fit)} others")


def _area(profile: Profile) -> int:
    return profile.width * profile.height
