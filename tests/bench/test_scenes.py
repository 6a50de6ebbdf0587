"""What the benchmark's figures are called: a later run is compared by these names."""

import pytest

from tests.bench.fleets import Scene


@pytest.mark.parametrize(
    ("scene", "name"),
    [
        (Scene(16), "16x4M"),
        (Scene(64, pacing="burst"), "64x4M-burst"),
        (Scene(16, "500k", codec="h265"), "16x500k-h265"),
        (Scene(16, codec="h265", pacing="burst"), "16x4M-h265-burst"),
    ],
)
def test_a_scene_is_named_by_what_is_not_usual(scene: Scene, name: str) -> None:
    assert scene.name == name


def test_a_bit_rate_is_understood_as_the_fleet_takes_it() -> None:
    assert Scene(1, "4M").bits_per_second == 4_000_000
    assert Scene(1, "500k").bits_per_second == 500_000
