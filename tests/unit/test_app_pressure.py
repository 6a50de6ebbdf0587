"""A full disk acted upon: who is stopped stands in index, ledger and assignment, and what fails is tried again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edged.app.keeper import AssignmentUnwritten, Keeper
from edged.app.pressure import ASK_AGAIN_US, Pressure
from edged.archive.ledger import LedgerKind
from edged.base.clock import SECOND
from edged.config import Config
from edged.record.assignment import read_assignment
from edged.record.process import assignment_path
from edged.report.health import VolumeHealth
from tests.retaining import House, house

GIB = 2**30
SIZE, RESERVE = 100 * GIB, 8 * GIB


@dataclass
class Site:
    """Two cameras on disk-0, disk-1 beside it; `free` is what is seen of each, None where it cannot be asked."""

    box: House
    keeper: Keeper
    config: Config
    pressure: Pressure = field(init=False)
    free: dict[str, int | None] = field(default_factory=lambda: {"disk-0": SIZE, "disk-1": 0})
    hurried: int = 0

    def hurry(self) -> None:
        self.hurried += 1

    def spaces(self) -> list[VolumeHealth]:
        return [
            VolumeHealth(
                volume=volume, online=free is not None, size_bytes=None if free is None else SIZE, free_bytes=free
            )
            for volume, free in self.free.items()
        ]

    async def swept(self, **said: object) -> None:
        """The sweep has passed, and could not free anything on disk-0."""
        report = await self.box.one_pass()
        report.exhausted.add("disk-0")
        for name, value in said.items():
            setattr(report, name, value)
        self.pressure.swept(report)

    def told(self) -> dict[str, tuple[str, bool]]:
        """What the recorder is told of each camera: its volume, and whether it is stopped."""
        streams = read_assignment(assignment_path(self.box.path, "box")).streams
        return {stream.camera: (stream.volume, stream.no_room) for stream in streams}

    async def entries(self) -> list[tuple[LedgerKind, str]]:
        kinds = (LedgerKind.CAMERA_STOPPED, LedgerKind.CAMERA_RESUMED)
        return [(kind, entry.body["camera"]) for kind in kinds for entry in await self.box.told(kind)]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with house(tmp_path, volumes=2) as box:
        config = Config.model_validate(
            {
                "site": {"id": "s", "jurisdiction": "jilin", "repair_unit": "r", "superior_department": "d"},
                "recorder": {"id": "box", "state_dir": tmp_path},
                "volume": [{"id": f"disk-{n}", "path": tmp_path / f"disk-{n}", "reserve": "8GiB"} for n in range(2)],
                "camera": [
                    {"id": name, "url": f"rtsp://127.0.0.1/{name}", "priority": priority, "volume": "disk-0"}
                    for name, priority in (("gate", 9), ("roof", 1))
                ],
            }
        )
        volumes = [swept.volume for swept in box.volumes]
        keeper = Keeper(config, box.database, box.clock, volumes, box.stamper.know, lambda camera, offset: None)
        await keeper.begin()
        site = Site(box, keeper, config)
        site.pressure = Pressure(
            box.clock,
            config.volume,
            {volume.id: volume.no for volume in volumes},
            keeper,
            spaces=site.spaces,
            rates=dict,
            hurry=site.hurry,
        )
        yield site


async def stop_roof(site: Site) -> None:
    site.free["disk-0"] = RESERVE // 4
    await site.swept()
    await site.pressure.look()
    assert site.told() == {"gate": ("disk-0", False), "roof": ("disk-0", True)}


async def test_the_sweep_is_asked_first_and_asked_again_now_and_then(site: Site) -> None:
    site.free = {"disk-0": RESERVE // 4, "disk-1": None}
    await site.pressure.look()
    assert site.hurried == 1
    assert not site.keeper.stops, "the sweep has not had its say"
    await site.swept()
    await site.pressure.look()
    assert (site.hurried, set(site.keeper.stops)) == (1, {"roof"})
    site.box.clock.advance(ASK_AGAIN_US / SECOND)
    await site.pressure.look()
    assert site.hurried == 2


@pytest.mark.parametrize("why", [{"refused": "the clock is not trusted"}, {"skipped": {"disk-0": "not proven"}}])
async def test_a_sweep_that_may_not_delete_frees_nothing_either(site: Site, why: dict[str, object]) -> None:
    site.free["disk-0"] = RESERVE // 4
    await site.swept(exhausted=set(), **why)
    await site.pressure.look()
    assert set(site.keeper.stops) == {"roof"}


async def test_a_camera_that_an_open_hold_awaits_footage_of_stops_after_the_others(site: Site) -> None:
    now_us = site.box.clock.wall_us()
    equals = [camera.model_copy(update={"priority": 5}) for camera in site.config.camera]
    keeper = Keeper(
        site.config.model_copy(update={"camera": equals}),
        site.box.database,
        site.box.clock,
        [swept.volume for swept in site.box.volumes],
        site.box.stamper.know,
        lambda camera, offset: None,
    )
    await keeper.begin()
    hold = await site.box.hold("roof", start_us=now_us - 60 * SECOND)
    await site.box.hold("gate", start_us=now_us - 60 * SECOND, end_us=now_us)  # awaits nothing more
    assert await keeper.held_now() == {"roof"}
    site.free["disk-0"] = RESERVE // 4
    pressure = Pressure(
        site.box.clock,
        site.config.volume,
        {swept.volume.id: swept.volume.no for swept in site.box.volumes},
        keeper,
        spaces=site.spaces,
        rates=lambda: {"gate": 100.0, "roof": 200.0},
        hurry=site.hurry,
    )
    report = await site.box.one_pass()
    report.exhausted.add("disk-0")
    pressure.swept(report)
    await pressure.look()
    assert set(keeper.stops) == {"gate"}, "without the hold the camera that writes more would stop"
    await site.box.release(hold.id)
    assert await keeper.held_now() == set()


async def test_a_volume_that_cannot_be_asked_stays_as_it_is(site: Site) -> None:
    await stop_roof(site)
    site.free["disk-0"] = None
    await site.pressure.look()
    assert set(site.keeper.stops) == {"roof"}
    assert site.keeper.stopped_on("disk-0") == 1


async def test_nobody_stops_while_another_volume_has_its_reserve_whole(site: Site) -> None:
    await stop_roof(site)
    site.free["disk-1"] = RESERVE - 1
    await site.pressure.look()
    assert site.told()["roof"] == ("disk-0", True)
    site.free["disk-1"] = RESERVE
    await site.pressure.look()
    assert site.told() == {"gate": ("disk-0", False), "roof": ("disk-1", False)}
    assert not site.keeper.stops
    assert await site.entries() == [(LedgerKind.CAMERA_STOPPED, "roof"), (LedgerKind.CAMERA_RESUMED, "roof")]


async def test_a_camera_stopped_for_a_disk_that_is_not_there_any_more_is_recorded_elsewhere(site: Site) -> None:
    """At the next start the full disk is missing: what was said about it does not hold for another."""
    await stop_roof(site)
    gone, there = [swept.volume for swept in site.box.volumes]
    keeper = Keeper(
        site.config,
        site.box.database,
        site.box.clock,
        [replace(gone, fenced="not mounted"), there],
        site.box.stamper.know,
        lambda camera, offset: None,
    )
    await keeper.begin()
    assert site.told() == {"gate": ("disk-1", False), "roof": ("disk-1", False)}
    assert keeper.stopped_on("disk-0") == 0
    pressure = Pressure(
        site.box.clock, site.config.volume, {there.id: there.no}, keeper, spaces=list, rates=dict, hurry=site.hurry
    )
    await pressure.look()
    assert not keeper.stops
    assert await site.entries() == [(LedgerKind.CAMERA_STOPPED, "roof"), (LedgerKind.CAMERA_RESUMED, "roof")]


async def test_a_stopped_camera_that_is_removed_is_not_said_to_be_recorded_again(site: Site) -> None:
    await stop_roof(site)
    await site.keeper.remove("roof", "an operator")
    await site.pressure.look()
    assert not site.keeper.stops
    assert await site.entries() == [(LedgerKind.CAMERA_STOPPED, "roof")]


async def test_a_stop_that_the_recorder_could_not_be_told_is_told_later(site: Site) -> None:
    """The index has it already, so nothing would be news any more."""
    in_the_way = assignment_path(site.box.path, "box").with_name(".assignment-box.json.tmp")
    in_the_way.mkdir()
    site.free["disk-0"] = RESERVE // 4
    await site.swept()
    for _ in range(2):
        with pytest.raises(AssignmentUnwritten):
            await site.pressure.look()
    assert site.told()["roof"] == ("disk-0", False)
    assert set(site.keeper.stops) == {"roof"}
    in_the_way.rmdir()
    await site.pressure.look()
    assert site.told()["roof"] == ("disk-0", True)
