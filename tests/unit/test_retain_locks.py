"""Which held files are to be immutable, and what people are told of it."""

from pathlib import Path, PurePosixPath

import pytest

from edged.archive.volumes import Volume
from edged.retain.locks import Link, Locks, Plan, kept_as, plan

A, B, C = (PurePosixPath(f"segments/cam-a/2026-11-01/{name}.mp4") for name in "abc")
LINKS = {"hold-1": [A, B], "hold-2": [B, C], "hold-3": [C]}


def test_i2_what_a_hold_in_force_names_is_locked_and_nothing_else() -> None:
    assert plan(LINKS, {"hold-1"}, wanted=True) == Plan(
        lock=[Link("hold-1", A), Link("hold-1", B)], unlock=[Link("hold-2", C)]
    )


def test_i2_a_file_that_one_of_its_holds_has_let_go_stays_locked() -> None:
    assert plan(LINKS, {"hold-2"}, wanted=True).unlock == [Link("hold-1", A)]


def test_nothing_is_locked_where_it_is_not_wanted() -> None:
    assert plan(LINKS, set(LINKS), wanted=False) == Plan(
        lock=[], unlock=[Link("hold-1", A), Link("hold-1", B), Link("hold-2", C)]
    )


def locks(*, wanted: bool = True, settled: bool = True, refused: str = "", waiting: int = 0) -> Locks:
    found = Locks(Volume("v1", 1, "uuid", Path("/nowhere")), wanted)
    found.settled, found.refused = settled, refused
    found.waiting = {Link("hold-1", PurePosixPath(str(number))) for number in range(waiting)}
    return found


@pytest.mark.parametrize(
    ("to_link", "volumes", "said"),
    [
        (0, [locks()], "immutable"),
        (0, [locks(), locks(waiting=2)], "linked, 2 not yet immutable"),
        (0, [locks(), locks(refused="Operation not permitted")], "linked"),
        (0, [locks(), locks(settled=False)], "linked"),
        (0, [locks(wanted=False)], "linked"),
        (0, [], "linked"),
        (7, [locks()], "7 to link"),
    ],
)
def test_the_weaker_of_what_the_volumes_have_is_told(to_link: int, volumes: list[Locks], said: str) -> None:
    assert kept_as(to_link, volumes) == said
