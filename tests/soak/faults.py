"""Which faults come when: drawn from a seed, so that a soak that failed can be run again. Decides only."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

VOLUME = ""  # in the place of a camera: the volume shows another identity for a while
# kind of fault, its weight, and the shortest and longest time it lasts, in seconds
_KINDS = (
    ("unplug", 6, 0.5, 8.0),
    ("stall", 5, 0.5, 13.0),  # above and below the ten seconds after which the recorder connects anew
    ("refuse", 4, 0.5, 6.0),
    ("password", 1, 1.0, 4.0),
    ("drop", 5, 1.0, 6.0),
    ("jump", 3, 0.0, 0.0),
    ("move", 3, 0.0, 0.0),
    ("unassign", 3, 0.5, 4.0),
    ("volume", 1, 0.5, 3.0),
)
_SHORT = ("password", "volume")  # these take up to a minute to recover from: not in a short soak


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: at and for how many seconds, to which camera, and a number between 0 and 1 for what it needs."""

    at_s: float
    lasts_s: float
    kind: str
    camera: str
    draw: float


def plan(seed: int, cameras: list[str], seconds: float, every_s: float) -> Iterator[Fault]:
    """Faults for `seconds`, one about every `every_s`; a camera has one at a time, and all are over at the end."""
    draw = random.Random(seed)
    kinds = [kind for kind in _KINDS if seconds > 120 or kind[0] not in _SHORT]
    free_at = dict.fromkeys([*cameras, VOLUME], 0.0)
    at_s = 0.0
    while True:
        at_s += draw.uniform(0.5, 1.5) * every_s
        (kind, _, shortest, longest), camera = draw.choices(kinds, [kind[1] for kind in kinds])[0], draw.choice(cameras)
        lasts_s = draw.uniform(shortest, longest)
        if kind == "volume":
            camera = VOLUME
        if at_s + lasts_s > seconds:
            return
        if free_at[camera] > at_s:
            continue
        free_at[camera] = at_s + lasts_s + 0.5
        yield Fault(at_s, lasts_s, kind, camera, draw.random())
