"""Who a device is, whatever its address: new, same, moved, changed, or a clone that must not be merged."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.discover.found import Change, Known
from edged.discover.identity import Sighted, match, new_id, usable_serial
from edged.discover.port import Profile

MAIN = Profile(token="main", name="", codec="H264", width=640, height=360)
CAMERA = Known(
    camera_id="c-aaaaaaaaaa",
    endpoint_reference="ref-a",
    serial="SERIAL-A",
    address="192.0.2.1",
    firmware="1.0",
    profiles=(MAIN,),
    stream_uri="rtsp://192.0.2.1:554/main",
)


def seen(
    reference: str = "urn:uuid:REF-A",
    serial: str = "SERIAL-A",
    address: str = "192.0.2.1",
    firmware: str | None = "1.0",
    profiles: tuple[Profile, ...] | None = (MAIN,),
    stream_uri: str | None = None,
) -> Sighted:
    uri = stream_uri if stream_uri is not None else f"rtsp://{address}:554/main"
    return Sighted(
        endpoint_reference=reference,
        serial=serial,
        address=address,
        firmware=firmware,
        profiles=profiles,
        stream_uri=uri,
    )


def test_an_id_is_stable_opaque_and_a_legal_configuration_id() -> None:
    # Written out: an id is in file names and in the ledger, and must never change with a release.
    assert new_id("urn:uuid:ref-a") == "c-l74vh74rw3"
    assert re.fullmatch(r"c-[a-z2-7]{10}", new_id("", "SERIAL-A"))
    assert new_id("urn:uuid:REF-A") == new_id("ref-a")
    assert new_id("ref-a") != new_id("ref-b")
    assert new_id("ref-a") != new_id("", "ref-a")
    assert new_id("ref-a", "SERIAL-A") != new_id("ref-a")
    assert new_id("", "0000") == ""


def test_a_camera_first_seen_is_new() -> None:
    found = match(seen("ref-b", "SERIAL-B"), [CAMERA])
    assert found.change is Change.NEW
    assert found.camera_id == new_id("ref-b")


def test_the_id_does_not_wait_for_the_login() -> None:
    """Seen before its login is configured and after, a camera has one id."""
    before = match(seen("ref-b", "", firmware=None, profiles=None), [])
    after = match(seen("ref-b", "SERIAL-B"), [Known(camera_id=before.camera_id, endpoint_reference="ref-b")])
    assert after.camera_id == before.camera_id
    assert after.change is Change.SAME


def test_the_same_camera_is_the_same() -> None:
    assert match(seen(), [CAMERA]).change is Change.SAME


def test_a_camera_at_a_new_address_has_moved_and_nothing_else() -> None:
    found = match(seen(address="192.0.2.77"), [CAMERA])
    assert (found.change, found.camera_id, found.differs) == (Change.MOVED, CAMERA.camera_id, ("address",))


@pytest.mark.parametrize(
    ("sight", "differs"),
    [
        (seen(firmware="2.0"), ("firmware",)),
        (seen(profiles=()), ("profiles",)),
        (seen(stream_uri="rtsp://192.0.2.1:554/other"), ("stream_uri",)),
        (seen(stream_uri="rtsp://192.0.2.1:8554/main"), ("stream_uri",)),
        (seen(reference="ref-drawn-anew"), ("endpoint_reference",)),
    ],
)
def test_what_changed_is_named(sight: Sighted, differs: tuple[str, ...]) -> None:
    found = match(sight, [CAMERA])
    assert (found.change, found.camera_id, found.differs) == (Change.CHANGED, CAMERA.camera_id, differs)


def test_what_could_not_be_asked_has_not_changed() -> None:
    sight = Sighted(endpoint_reference="ref-a", serial="", address="192.0.2.1")
    assert match(sight, [CAMERA]).change is Change.SAME


def test_a_clone_is_never_merged() -> None:
    sight = seen(serial="SERIAL-B", address="192.0.2.2")
    clone = match(sight, [CAMERA])
    assert clone.change is Change.CLONE
    assert clone.disputed
    assert clone.camera_id not in ("", CAMERA.camera_id)
    kept = Known(camera_id=clone.camera_id, serial="SERIAL-B", address="192.0.2.2")
    again = match(sight, [CAMERA, kept])
    assert (again.change, again.camera_id, again.disputed) == (Change.SAME, clone.camera_id, True)
    assert match(seen(), [CAMERA, kept]).camera_id == CAMERA.camera_id


def test_a_device_asked_directly_is_known_by_its_serial_number() -> None:
    assert match(seen(reference="", address="192.0.2.9"), [CAMERA]).camera_id == CAMERA.camera_id
    without = Known(camera_id="c-bbbbbbbbbb", serial="SERIAL-B", address="192.0.2.2")
    assert match(seen("ref-b", "serial-b"), [without]).camera_id == "c-bbbbbbbbbb"


def test_one_serial_number_at_two_references_and_addresses_is_two_cameras() -> None:
    other = match(seen("ref-b", "SERIAL-A", "192.0.2.2"), [CAMERA])
    assert other.change is Change.NEW
    assert other.camera_id != CAMERA.camera_id


@pytest.mark.parametrize("serial", ["", "0", "000000000", "Unknown", "123456", "N/A", "--------", "   "])
def test_a_placeholder_is_no_serial_number(serial: str) -> None:
    assert usable_serial(serial) == ""
    known = Known(camera_id="c-bbbbbbbbbb", serial=serial, address="192.0.2.2")
    assert match(seen("", serial, "192.0.2.3"), [known]).camera_id == ""


@given(st.lists(st.tuples(st.sampled_from(["", "r1", "r2"]), st.sampled_from(["", "SN-1", "SN-2"])), max_size=12))
def test_two_different_serial_numbers_never_share_an_id(devices: list[tuple[str, str]]) -> None:
    """Whatever order they come in, and although the roster forgets a reference where a device shows none."""
    known: dict[str, Known] = {}
    serial_of: dict[str, str] = {}
    for number, (reference, serial) in enumerate(devices):
        found = match(
            Sighted(endpoint_reference=reference, serial=serial, address=f"192.0.2.{number}"), [*known.values()]
        )
        if not found.camera_id:
            assert not reference
            assert not serial
            continue
        before = serial_of.setdefault(found.camera_id, serial)
        assert not serial or not before or serial == before
        serial_of[found.camera_id] = before or serial
        known[found.camera_id] = Known(
            camera_id=found.camera_id,
            endpoint_reference="" if found.disputed else reference,
            serial=before or serial,
            address=f"192.0.2.{number}",
        )
