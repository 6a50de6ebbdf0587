"""Where a stream goes whose own volume has failed, and when it comes back."""

from hypothesis import given
from hypothesis import strategies as st

from edged.record.disk.placing import Room, choose

GIB = 1 << 30
ROOMS = st.lists(
    st.builds(Room, st.sampled_from("abcd"), st.booleans(), st.integers(0, 4 * GIB), st.integers(0, 9)),
    unique_by=lambda room: room.volume,
)


def test_home_is_best_while_it_is_trusted() -> None:
    rooms = [Room("home", True, 1, 50), Room("other", True, 100 * GIB, 0)]
    assert choose("home", rooms) == "home"


def test_the_cameras_of_a_failed_volume_spread_by_free_space() -> None:
    """Twelve cameras, and disks of 1 and 2 GiB free: four to the one, eight to the other."""
    streams = {"small": 0, "large": 0}
    for _ in range(12):
        chosen = choose(
            "home",
            [Room("small", True, GIB, streams["small"]), Room("large", True, 2 * GIB, streams["large"])],
        )
        assert chosen is not None
        streams[chosen] += 1
    assert streams == {"small": 4, "large": 8}


def test_a_volume_on_probation_is_better_than_none() -> None:
    assert choose("home", [Room("home", False, GIB, 0), Room("other", True, 1, 9)]) == "other"
    assert choose("home", [Room("home", False, GIB, 0)]) == "home"
    assert choose("home", []) is None


@given(ROOMS, st.sampled_from("abcd"))
def test_whatever_the_volumes_are_like_one_of_them_is_chosen(rooms: list[Room], home: str) -> None:
    chosen = choose(home, rooms)
    trusted = {room.volume for room in rooms if room.trusted}
    assert (chosen is None) == (not rooms)
    assert not trusted or chosen in trusted
    assert home not in trusted or chosen == home
