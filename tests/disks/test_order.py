"""LAW 3.5 on a real disk: what is past its ceiling goes first, then what is past its floor, then cameras stop."""

from pathlib import Path

import pytest

from edged.app.keeper import Keeper
from edged.app.pressure import Pressure
from edged.archive.ledger import LedgerKind, entries
from edged.archive.segments import SegmentKey
from edged.archive.volumes import free_space
from edged.base.clock import DAY, HOUR, SECOND
from edged.config import Config
from edged.record.assignment import read_assignment
from edged.record.process import assignment_path
from edged.report.health import VolumeHealth
from tests.disks.conftest import need_disks
from tests.disks.loop import MIB, LoopDisk
from tests.retaining import START_US, House, house

RESERVE = 20 * MIB
SIZE = 2 * MIB


def configuration(folder: Path) -> Config:
    """cam-a is at a listed place (30 days, and then a duty to delete), cam-b at another one (15 days, Jilin)."""
    return Config.model_validate(
        {
            "site": {"id": "s", "jurisdiction": "jilin", "repair_unit": "r", "superior_department": "d"},
            "recorder": {"id": "box", "state_dir": folder},
            "volume": [{"id": "disk-0", "path": folder / "disk-0", "reserve": f"{RESERVE // MIB}MiB"}],
            "camera": [
                {"id": "cam-a", "url": "rtsp://127.0.0.1/a", "priority": 9},
                {"id": "cam-b", "url": "rtsp://127.0.0.1/b", "priority": 1, "place": "other"},
            ],
        }
    )


def pressure_on(box: House, keeper: Keeper) -> Pressure:
    volume = box.volumes[0].volume

    def spaces() -> list[VolumeHealth]:
        space = free_space(volume.path)
        assert space is not None
        return [VolumeHealth(volume=volume.id, online=True, size_bytes=space.total, free_bytes=space.free)]

    config = configuration(box.path)
    return Pressure(
        box.clock, config.volume, {volume.id: volume.no}, keeper, spaces=spaces, rates=dict, hurry=box.sweep.hurry
    )


def stopped(box: House) -> set[str]:
    """As the recorder is told."""
    return {one.camera for one in read_assignment(assignment_path(box.path, "box")).streams if one.no_room}


async def test_i1_i2_i3_the_order_in_which_a_full_disk_is_relieved(tmp_path: Path) -> None:
    need_disks()
    with LoopDisk(tmp_path, "disk-0") as disk:
        async with house(tmp_path, reserve_bytes=RESERVE, space=free_space) as box:
            await box.camera("cam-a")
            await box.camera("cam-b", "other")
            due = [await box.record("cam-a", START_US + n * HOUR, size=SIZE) for n in range(3)]
            over = [await box.record("cam-b", START_US + n * HOUR, size=SIZE) for n in range(6)]
            await box.hold("cam-b", start_us=START_US - HOUR // 2, end_us=START_US + HOUR // 2)
            held, over = over[0], over[1:]
            await box.tick()
            box.clock.advance(34 * DAY / SECOND)
            young = [await box.record(camera, size=SIZE) for camera in ("cam-a", "cam-b") for _ in range(3)]
            keeper = Keeper(
                configuration(tmp_path), box.database, box.clock, [box.volumes[0].volume], box.stamper.know, no_clock
            )
            await keeper.begin()
            pressure = pressure_on(box, keeper)

            def there(keys: list[SegmentKey]) -> list[bool]:
                return [box.file(key).exists() for key in keys]

            # Twelve of twenty are free: the duty to delete gives six more, and the oldest of the rest the last two.
            disk.fill(leave=12 * MIB)
            report = await box.one_pass()
            assert not any(there(due))
            assert there(over) == [False] + [True] * 4
            assert report.exhausted == set()
            assert disk.free >= RESERVE
            # To the last block: all that is past its floor goes, and nothing else.
            disk.fill()
            report = await box.one_pass()
            assert not any(there(over))
            assert report.exhausted == {"disk-0"}
            # Somebody takes what was freed; only now is a camera stopped, the least important one.
            pressure.swept(report)
            disk.fill(leave=5 * MIB)
            await pressure.look()
            assert stopped(box) == set(keeper.stops) == {"cam-b"}
            disk.fill()
            await pressure.look()
            assert stopped(box) == set(keeper.stops) == {"cam-a", "cam-b"}
            assert all(there([held, *young])), "neither what is held nor what is below its floor, to the last block"
            # A controller that starts anew knows who is stopped, and lets them go on once it sees the whole reserve.
            again = Keeper(
                configuration(tmp_path), box.database, box.clock, [box.volumes[0].volume], box.stamper.know, no_clock
            )
            await again.begin()
            assert set(again.stops) == {"cam-a", "cam-b"}
            disk.free_up()
            disk.fill(leave=RESERVE - MIB)
            pressure = pressure_on(box, again)
            await pressure.look()
            assert stopped(box) == {"cam-a", "cam-b"}
            disk.free_up()
            await pressure.look()
            assert stopped(box) == set(again.stops) == set()
            told = [
                (entry.kind, entry.body["camera"])
                for entry in await box.database.read(entries, 0, 10**6)
                if entry.kind in (LedgerKind.SEGMENTS_DELETED, LedgerKind.CAMERA_STOPPED, LedgerKind.CAMERA_RESUMED)
            ]
            deleted = [camera for kind, camera in told if kind is LedgerKind.SEGMENTS_DELETED]
            assert deleted == sorted(deleted), "past its ceiling before past its floor"
            assert told[len(deleted) :] == [
                (LedgerKind.CAMERA_STOPPED, "cam-b"),
                (LedgerKind.CAMERA_STOPPED, "cam-a"),
                (LedgerKind.CAMERA_RESUMED, "cam-a"),
                (LedgerKind.CAMERA_RESUMED, "cam-b"),
            ]


def no_clock(camera: str, offset_us: int | None) -> None:
    pytest.fail(f"nobody asked the clock of {camera}")
