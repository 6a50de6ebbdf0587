"""Which process and which volume a camera gets, and what its recorder is told about it."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edged.app.assigning import assignments, place
from edged.app.dealing import MOST, process_ids, process_of
from edged.archive import roster
from edged.archive.database import open_database
from edged.archive.roster import Camera
from edged.archive.volumes import Volume
from edged.config import Config, LoginConfig
from edged.model import Situation, StreamKind
from edged.record.assignment import AssignedStream
from tests.archive_kit import make_volume

CAMERAS = [f"c-{number}" for number in range(1000)]
GIB = 2**30


def deal(count: int) -> dict[str, str]:
    ids = process_ids("nvr", count)
    return {camera: process_of(camera, ids) for camera in CAMERAS}


def test_the_first_process_has_the_recorders_own_id() -> None:
    assert process_ids("nvr", 1) == ("nvr",)
    assert process_ids("nvr", 3) == ("nvr", "nvr-2", "nvr-3")


@pytest.mark.parametrize("count", range(1, MOST))
def test_one_process_more_takes_its_share_and_moves_nobody_else(count: int) -> None:
    before, after = deal(count), deal(count + 1)
    moved = {camera for camera in CAMERAS if before[camera] != after[camera]}
    assert {after[camera] for camera in moved} == {f"nvr-{count + 1}"}
    assert len(moved) == pytest.approx(1000 / (count + 1), rel=0.25)


def test_cameras_are_dealt_evenly() -> None:
    shares = Counter(deal(8).values())
    assert len(shares) == 8
    assert max(shares.values()) < 1.25 * 1000 / 8


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "index.db")
    for number in range(1, 8):
        make_volume(connection, tmp_path / f"v{number}", f"v{number}")
    yield connection
    connection.close()


@pytest.fixture
def camera(connection: sqlite3.Connection) -> Callable[..., Camera]:
    """An adopted camera of the roster, by its number."""

    def adopted(no: int, volume: int | None = 1, **details: Any) -> Camera:
        told = {"stream_uri": f"rtsp://127.0.0.1/{no}", **details}
        roster.upsert_found(
            connection, f"c-{no}", source="onvif", situation=Situation("listed"), at_us=no, volume=volume, details=told
        )
        return roster.adopt(connection, f"c-{no}", no)

    return adopted


def test_cameras_adopted_together_spread_by_free_space(camera: Callable[..., Camera]) -> None:
    placed = place([camera(no, None) for no in range(1, 13)], {1: 300 * GIB, 2: 100 * GIB, 3: 200 * GIB})
    assert Counter(volume for _, volume in placed) == {1: 6, 2: 2, 3: 4}


def test_a_camera_stays_on_a_volume_that_can_be_used(camera: Callable[..., Camera]) -> None:
    placed = place([camera(1, 1), camera(2, 2), camera(3, 7)], {1: 1 * GIB, 2: 500 * GIB})
    assert placed == [(3, 2)], "volume 7 is not there any more; the others stay, however full"
    assert place([camera(1, 7)], {}) == [], "without a volume nothing is changed"


def config(recorder: dict[str, Any] | None = None, *cameras: dict[str, Any]) -> Config:
    site = {"id": "s", "jurisdiction": "jilin", "repair_unit": "r", "superior_department": "d"}
    return Config.model_validate(
        {
            "site": site,
            "recorder": recorder or {},
            "volume": [{"id": "v1", "path": "/v1"}],
            "discovery": {"probe": ["127.0.0.1"]},
            "camera": list(cameras),
        }
    )


def streams(given: Config, *cameras: Camera) -> list[AssignedStream]:
    volume = Volume(no=1, id="v1", path=Path("/v1"), uuid="u", fenced="")
    told = assignments(
        given, cameras, [volume], lambda _: LoginConfig.model_validate({"username": "u", "password": "p"})
    )
    return [stream for assignment in told.values() for stream in assignment.streams]


def test_the_sites_defaults_hold_where_a_camera_says_nothing_else(camera: Callable[..., Camera]) -> None:
    given = config(
        {"audio": True, "sub": True, "transport": "udp", "tls_ca": "/ca"},
        {"id": "c-2", "audio": False, "sub": False, "transport": "tcp", "redirect_hosts": ["127.0.0.3"]},
        {"id": "c-3", "tls_pin": "AB" * 32},
    )
    sub: dict[str, Any] = {"sub_stream_uri": "rtsp://127.0.0.1/small"}
    one, small, two, three, _ = streams(given, camera(1, **sub), camera(2, **sub), camera(3, **sub))
    assert (one.stream, one.audio, one.transport, one.tls_ca, one.tls_pin) == (StreamKind.MAIN, True, "udp", "/ca", "")
    assert (small.camera, small.stream, small.url) == ("c-1", StreamKind.SUB, "rtsp://127.0.0.1/small")
    assert (two.camera, two.audio, two.transport, two.redirect_hosts) == ("c-2", False, "tcp", ("127.0.0.3",))
    assert (three.tls_ca, three.tls_pin) == ("", "ab" * 32), "a certificate of its own needs no authority"
    assert (one.username, one.password, one.volume) == ("u", "p", "v1")


def test_by_default_neither_audio_nor_small_stream_is_recorded(camera: Callable[..., Camera]) -> None:
    [one] = streams(config(), camera(1, sub_stream_uri="rtsp://127.0.0.1/small"))
    assert (one.stream, one.audio, one.transport) == (StreamKind.MAIN, False, "tcp")


def test_inside_tls_the_media_is_never_asked_for_over_udp(camera: Callable[..., Camera]) -> None:
    [one] = streams(config({"transport": "udp"}), camera(1, stream_uri="rtsps://127.0.0.1/1"))
    assert one.transport == "tcp"


def test_what_cannot_be_recorded_is_left_out(camera: Callable[..., Camera]) -> None:
    assert streams(config({"processes": 4}), camera(1, volume=2), camera(2, stream_uri="")) == []
    assert len(streams(config({"processes": 4}), *[camera(no) for no in range(50)])) == 50
