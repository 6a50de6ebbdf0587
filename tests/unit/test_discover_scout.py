"""The scout's rounds over a network and cameras that are played here: who is asked when, and what is handed over.

The cameras are small programs behind the same port as real ones; the clock moves only when told to.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from edged.base.clock import MINUTE, SECOND, Clock, ManualClock
from edged.base.errors import TryAgain
from edged.config.records import DiscoveryConfig
from edged.discover.found import Change, Found, Known
from edged.discover.inquiry import NO_MAIN_PROFILE
from edged.discover.port import (
    CameraRefusesLogin,
    CameraSpeaksOddly,
    CameraUnreachable,
    DeviceIdentity,
    OnvifPort,
    Profile,
)
from edged.discover.probe import Answer, Probed
from edged.discover.scout import ASK_AGAIN_US, AT_ONCE, LOGIN_RESTS_US, NOTHING_IDENTIFIES, Scout
from edged.discover.wsd import Announced, host_of

MAIN = Profile(token="main", name="", codec="H264", width=640, height=360)


@dataclass
class PlayedCamera:
    """One camera at one address. `asked` has what it was asked, in order."""

    reference: str
    serial: str
    address: str
    version: int = 1
    announces: bool = True
    fails: Exception | None = None
    clock_fails: Exception | None = None
    profiles_told: tuple[Profile, ...] = (MAIN,)
    asked: list[str] = field(default_factory=list)

    async def clock(self) -> int | None:
        self.asked.append("clock")
        if self.clock_fails is not None:
            raise self.clock_fails
        return 5 * SECOND

    async def identity(self) -> DeviceIdentity:
        self.asked.append("identity")
        if self.fails is not None:
            raise self.fails
        return DeviceIdentity(manufacturer="maker", model="secret-model", firmware="1.0", serial=self.serial)

    async def profiles(self) -> tuple[Profile, ...]:
        self.asked.append("profiles")
        return self.profiles_told

    async def stream_uri(self, profile: str) -> str:
        self.asked.append(f"stream {profile}")
        return f"rtsp://{self.address}:554/{profile}"


class PlayedSite:
    """A network of played cameras, and everything a Scout wants from the world."""

    def __init__(self, *cameras: PlayedCamera) -> None:
        self.cameras = list(cameras)
        self.clock = ManualClock()
        self.handed: list[Found] = []
        self.labels: list[str] = []
        self.asked_at_once = 0
        self.unusable: tuple[str, ...] = ()

    def scout(self, *probe: str, known: Sequence[Known] = ()) -> Scout:
        config = DiscoveryConfig(interfaces=("lo",), probe=probe)
        return Scout(config, self.clock, self.port, self.hand, known=lambda: known, prober=self.probe)

    async def probe(self, interfaces: Sequence[str], addresses: Sequence[str], clock: Clock) -> Probed:
        answers = tuple(
            Answer(
                camera.address,
                Announced(
                    endpoint_reference=f"urn:uuid:{camera.reference}" if camera.reference else "",
                    types=(),
                    scopes=(),
                    xaddrs=(),
                    metadata_version=camera.version,
                ),
            )
            for camera in self.cameras
            if camera.announces
        )
        return Probed(answers, self.unusable, {address: address for address in addresses})

    def port(self, label: str, xaddr: str) -> OnvifPort:
        self.labels.append(label)
        camera = next((c for c in self.cameras if c.address == host_of(xaddr)), None)
        if camera is None:
            raise CameraUnreachable(f"camera {label}: no connection")
        return camera

    async def hand(self, found: Found) -> None:
        self.handed.append(found)


async def test_a_camera_is_found_once_and_then_only_seen() -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1")
    site = PlayedSite(camera)
    scout = site.scout()
    [first] = await scout.once()
    assert first.change is Change.NEW
    assert first.problem is None
    assert first.stream_uri == "rtsp://192.0.2.1:554/main"
    assert first.clock_offset_us == 5 * SECOND
    assert camera.asked == ["clock", "identity", "profiles", "stream main"]  # its clock before any login

    camera.asked.clear()
    [second] = await scout.once()
    assert second.change is Change.SAME
    assert second.camera_id == first.camera_id
    assert camera.asked == []
    assert site.handed == [first, second]


@pytest.mark.parametrize("why", ["time", "announced change"])
async def test_a_camera_is_asked_again_when_something_speaks_for_it(why: str) -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1")
    site = PlayedSite(camera)
    scout = site.scout()
    await scout.once()
    camera.asked.clear()
    camera.profiles_told = (MAIN, Profile(token="big", name="", codec="H264", width=1920, height=1080))
    if why == "time":
        site.clock.advance(ASK_AGAIN_US / SECOND)
    else:
        camera.version += 1
    [found] = await scout.once()
    assert camera.asked
    assert found.change is Change.CHANGED
    assert found.differs == ("profiles", "stream_uri")
    assert found.main_profile == "big"


async def test_a_moved_camera_keeps_its_id() -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1")
    site = PlayedSite(camera)
    scout = site.scout()
    [before] = await scout.once()
    camera.address = "192.0.2.2"
    [after] = await scout.once()
    assert (after.camera_id, after.change) == (before.camera_id, Change.MOVED)
    assert after.stream_uri == "rtsp://192.0.2.2:554/main"
    [settled] = await scout.once()
    assert settled.change is Change.SAME


async def test_ids_outlive_a_restart_through_the_roster() -> None:
    site = PlayedSite(PlayedCamera("ref-a", "SERIAL-A", "192.0.2.9"))
    known = Known(camera_id="gate", endpoint_reference="ref-a", serial="SERIAL-A", address="192.0.2.1")
    scout = site.scout(known=[known])
    [found] = await scout.once()
    assert (found.camera_id, found.change) == ("gate", Change.MOVED)
    [again] = await scout.once()  # the roster still has the old row: what the scout saw itself counts
    assert again.change is Change.SAME


async def test_a_rejected_login_rests_for_ten_minutes_even_if_the_camera_moves() -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1", fails=CameraRefusesLogin("camera c rejects the login"))
    site = PlayedSite(camera)
    scout = site.scout()
    [found] = await scout.once()
    assert found.problem is not None
    assert found.problem.code == CameraRefusesLogin.code
    assert found.camera_id  # known by its endpoint reference, without any login
    for minute in range(9):
        site.clock.advance(60)
        camera.address = f"192.0.2.{minute % 3 + 1}"
        [still] = await scout.once()
        assert still.problem == found.problem
    assert camera.asked.count("identity") == 1

    site.clock.advance(LOGIN_RESTS_US / SECOND - 9 * MINUTE / SECOND)
    camera.fails = None
    [well] = await scout.once()
    assert camera.asked.count("identity") == 2
    assert well.problem is None
    assert well.camera_id == found.camera_id


async def test_a_rejected_login_is_tried_at_once_when_the_owner_acted() -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1", fails=CameraRefusesLogin("camera c rejects the login"))
    scout = PlayedSite(camera).scout()
    await scout.once()
    camera.fails = None
    scout.retry_logins()
    [found] = await scout.once()
    assert found.problem is None


async def test_two_rounds_at_once_try_a_login_once() -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1", fails=CameraRefusesLogin("camera c rejects the login"))
    site = PlayedSite(camera)
    ask_clock = camera.clock

    async def slow_clock() -> int | None:
        await asyncio.sleep(0)
        return await ask_clock()

    camera.clock = slow_clock  # type: ignore[method-assign]
    scout = site.scout()
    await asyncio.gather(scout.once(), scout.once())
    assert camera.asked.count("identity") == 1


@pytest.mark.parametrize("failure", [CameraUnreachable("gone"), CameraSpeaksOddly("odd")])
async def test_other_failures_are_tried_again_at_the_next_round(failure: Exception) -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1", fails=failure)
    scout = PlayedSite(camera).scout()
    [found] = await scout.once()
    assert found.problem is not None
    assert found.stream_uri == ""
    camera.fails = None
    [found] = await scout.once()
    assert found.problem is None


async def test_an_odd_clock_does_not_cost_the_camera() -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1", clock_fails=CameraSpeaksOddly("its clock"))
    [found] = await PlayedSite(camera).scout().once()
    assert found.clock_offset_us is None
    assert found.problem is None


async def test_a_camera_without_a_recordable_profile_says_why() -> None:
    only = Profile(token="a", name="", codec="MPV4-ES", width=640, height=360)
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1", profiles_told=(only,))
    [found] = await PlayedSite(camera).scout().once()
    assert found.problem is not None
    assert found.problem.code == NO_MAIN_PROFILE
    assert "MPV4-ES" in found.problem.text
    assert found.profiles == (only,)


async def test_clones_are_kept_apart_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    original = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1")
    clone = PlayedCamera("ref-a", "SERIAL-B", "192.0.2.2")
    site = PlayedSite(original)
    scout = site.scout()
    [alone] = await scout.once()
    site.cameras.append(clone)
    for change in (Change.CLONE, Change.SAME, Change.SAME):
        found = {item.serial: item for item in await scout.once()}
        assert found["SERIAL-A"].camera_id == alone.camera_id
        assert found["SERIAL-A"].change is Change.SAME
        assert found["SERIAL-B"].camera_id != alone.camera_id
        assert found["SERIAL-B"].change is change
        assert found["SERIAL-B"].endpoint_reference == ""
    assert sum("another serial number" in record.message for record in caplog.records) == 1


async def test_one_device_at_two_addresses_is_one_camera_that_does_not_move() -> None:
    site = PlayedSite(PlayedCamera("ref-a", "SERIAL-A", "192.0.2.8"))
    scout = site.scout()
    [first] = await scout.once()
    site.cameras.append(PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1"))
    for _ in range(2):
        [found] = await scout.once()
        assert (found.camera_id, found.address, found.change) == (first.camera_id, "192.0.2.8", Change.SAME)


async def test_a_silent_configured_address_is_asked_directly() -> None:
    camera = PlayedCamera("", "SERIAL-A", "192.0.2.1", announces=False)
    site = PlayedSite(camera)
    scout = site.scout("192.0.2.1", "192.0.2.2")
    [found] = await scout.once()
    assert found.problem is None
    assert site.labels == ["at discovery.probe[0]", "at discovery.probe[1]"]
    [again] = await scout.once()
    assert again.camera_id == found.camera_id
    assert again.change is Change.SAME


async def test_a_camera_heard_and_configured_by_port_is_one_camera() -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1")
    site = PlayedSite(camera)
    found = await site.scout("192.0.2.1:8000").once()
    assert [item.change for item in found] == [Change.NEW]
    assert len(site.handed) == 1


async def test_a_device_without_reference_and_serial_is_shown_but_not_handed_over() -> None:
    site = PlayedSite(PlayedCamera("", "000000", "192.0.2.1"))
    [found] = await site.scout().once()
    assert found.camera_id == ""
    assert found.problem is not None
    assert found.problem.code == NOTHING_IDENTIFIES
    assert site.handed == []


async def test_no_more_than_a_few_cameras_are_asked_at_once() -> None:
    site = PlayedSite(*(PlayedCamera(f"ref-{n}", f"SERIAL-{n}", f"192.0.2.{n}") for n in range(1, 60)))
    asking: set[str] = set()
    most = 0

    class Slow(PlayedCamera):
        async def clock(self) -> int | None:
            nonlocal most
            asking.add(self.address)
            most = max(most, len(asking))
            await asyncio.sleep(0)
            return 0

        async def stream_uri(self, profile: str) -> str:
            asking.discard(self.address)
            return await super().stream_uri(profile)

    site.cameras = [Slow(c.reference, c.serial, c.address) for c in site.cameras]
    assert len(await site.scout().once()) == 59
    assert most == AT_ONCE


async def test_an_error_of_whoever_keeps_the_roster_passes_as_itself() -> None:
    """Supervision sorts errors by kind; an exception group would hide the kind."""
    site = PlayedSite(*(PlayedCamera(f"ref-{n}", f"SERIAL-{n}", f"192.0.2.{n}") for n in range(1, 4)))

    async def full(_: Found) -> None:
        raise TryAgain("the roster's worker is full")

    scout = Scout(DiscoveryConfig(interfaces=("lo",)), site.clock, site.port, full, prober=site.probe)
    with pytest.raises(TryAgain, match="worker is full"):
        await scout.once()


async def test_a_problem_is_logged_when_it_appears_and_again_when_it_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera = PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1", fails=CameraSpeaksOddly("camera c speaks oddly"))
    site = PlayedSite(camera)
    site.unusable = ("interface nic9 (No such device)",)
    scout = site.scout()
    for _ in range(3):
        await scout.once()
    assert sum("speaks oddly" in record.message for record in caplog.records) == 1
    assert sum("nic9" in record.message for record in caplog.records) == 1
    failure, camera.fails = camera.fails, None
    await scout.once()
    camera.fails = failure
    camera.version += 1
    await scout.once()
    assert sum("speaks oddly" in record.message for record in caplog.records) == 2


async def test_i9_nothing_confidential_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = PlayedSite(
        PlayedCamera("ref-a", "SERIAL-A", "192.0.2.1"),
        PlayedCamera("ref-a", "SERIAL-B", "192.0.2.2"),
        PlayedCamera("ref-c", "SERIAL-C", "192.0.2.3", fails=CameraRefusesLogin("camera c-x rejects the login")),
        PlayedCamera("", "", "192.0.2.4"),
    )
    found = await site.scout("192.0.2.5").once()
    assert len(found) == 4
    shown = repr(found) + caplog.text
    assert "rejects the login" in caplog.text
    for secret in ("192.0.2.", "SERIAL-", "ref-", "secret-model", "rtsp://"):
        assert secret not in shown


async def test_the_small_stream_is_asked_for_where_it_is_wanted_and_never_costs_the_main_one() -> None:
    class Stubborn(PlayedCamera):
        async def stream_uri(self, profile: str) -> str:
            if profile == "small":
                raise CameraSpeaksOddly("camera c-2 does not say where this stream is")
            return await super().stream_uri(profile)

    small = Profile(token="small", name="", codec="H265", width=320, height=180)
    cameras = [kind("ref-1", "S-0001", "192.0.2.1", profiles_told=(MAIN, small)) for kind in (PlayedCamera, Stubborn)]
    for camera, expected in zip(cameras, ("rtsp://192.0.2.1:554/small", ""), strict=True):
        site = PlayedSite(camera)
        scout = Scout(
            DiscoveryConfig(interfaces=("lo",)), site.clock, site.port, site.hand, prober=site.probe, sub=True
        )
        [found] = await scout.once()
        assert found.problem is None
        assert found.stream_uri == "rtsp://192.0.2.1:554/main"
        assert found.sub_stream_uri == expected
    site = PlayedSite(PlayedCamera("ref-1", "S-0001", "192.0.2.1", profiles_told=(MAIN, small)))
    [found] = await site.scout().once()
    assert found.sub_stream_uri == ""
    assert "stream small" not in site.cameras[0].asked
