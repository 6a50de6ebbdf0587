"""The index that the archive's benchmark measures: 256 cameras, a segment a minute, each with one short break a day.

Rows go in as time does, one minute of all cameras after the other, because that is what decides how full the pages
get. The ledger has the camera-hour records that go with them, and the volume its copy. Files are faked: the camera-day
folders are there, empty. A made index is kept in the cache folder and used again on the same day.
"""

import asyncio
import datetime as dt
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from edged.archive import roster
from edged.archive.compared import date_of
from edged.archive.database import Database, open_database, transact
from edged.archive.indexing import floor_no
from edged.archive.layout import segment_path
from edged.archive.ledger import LedgerKind, append
from edged.archive.schema import STEPS
from edged.archive.segments import LONGEST_SEGMENT, local_day
from edged.archive.volumes import Volume, open_volumes
from edged.base.clock import DAY, HOUR, MINUTE, SECOND, Clock, ManualClock
from edged.base.spans import Span
from edged.law.packs import load_packs, shipped_packs
from edged.law.site import SiteLaw
from edged.model import Cause, Coverage, Floor, Gap, Situation, StreamKind
from edged.prove.hour_record import HourSegment, hour_record
from edged.prove.key import open_key
from edged.prove.mirror import Mirror
from tests.bench.figures import note

CAMERAS = 256
DAY_MINUTES = 1440
ZONE = "Asia/Shanghai"
RECORDER = "nvr"
SIZES = "sizes.json"
ORIGIN = f"edged/site-1/{RECORDER}"
CODEC = ("avc1.64001f", 1920, 1080)
_PER_CAMERA_DAY = DAY_MINUTES - 1  # one minute of each day is lost


@dataclass(frozen=True, slots=True)
class Made:
    """Where it is and what it covers: whole civil days from `start_us` to `end_us`."""

    folder: Path
    start_us: int
    end_us: int
    segments: int

    @property
    def index(self) -> Path:
        return self.folder / "state" / "index.sqlite3"

    @property
    def disk(self) -> Path:
        return self.folder / "disk-0"


def camera_id(number: int) -> str:
    return f"cam-{number:03d}-5f3a9c"


def site_law() -> SiteLaw:
    return SiteLaw(load_packs(shipped_packs()), "jilin", ZONE, 3)


def bytes_needed(segments: int) -> float:
    """Index, ledger and its copy, twice: the cache and what is measured on."""
    return segments * 330 * 2


def made(cache: Path, segments: int) -> Made:
    """The index of at least so many segments, from the cache or made now."""
    days = -(-segments // (CAMERAS * _PER_CAMERA_DAY))
    law = site_law()
    today = dt.datetime.now(law.tz).date()
    end_us = round(dt.datetime.combine(today, dt.time(), law.tz).timestamp()) * SECOND
    shape = hashlib.sha256(repr(STEPS).encode() + Path(__file__).read_bytes()).hexdigest()[:12]
    folder = cache / f"edged-archive-{days}d-{today}-{shape}"
    found = Made(folder, end_us - days * DAY, end_us, CAMERAS * days * _PER_CAMERA_DAY)
    if folder.is_dir():
        note(f"using the index of {found.segments:,} segments in {folder}")
        return found
    for old in cache.glob("edged-archive-*"):
        shutil.rmtree(old)
    note(f"making an index of {found.segments:,} segments")
    making = replace(found, folder=cache / f"edged-archive-making-{os.getpid()}")
    try:
        _make(making, law)
        asyncio.run(_mirror(making))
        making.folder.rename(folder)
    except BaseException:
        shutil.rmtree(making.folder, ignore_errors=True)
        raise
    return found


def sizes(source: Made) -> tuple[int, int]:
    """Bytes that the index's pages take without the ledger, and those of the ledger."""
    index, told = json.loads((source.folder / SIZES).read_text())
    return index, told


def copy_of(source: Made, folder: Path) -> Made:
    """The same, to be changed."""
    shutil.copytree(source.folder, folder)
    return replace(source, folder=folder)


def _make(making: Made, law: SiteLaw) -> None:
    making.index.parent.mkdir(parents=True)
    making.disk.mkdir()
    open_key(making.index.parent, ORIGIN)
    connection = open_database(making.index)
    connection.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-200000; PRAGMA foreign_keys=OFF;")
    transact(connection, _roster, making)
    # The guards are for strangers; what they count is counted here once, at the end.
    guards = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'segment'"
    ).fetchall()
    for guard in guards:
        connection.execute(f"DROP TRIGGER {guard['name']}")
    for start_us in range(making.start_us, making.end_us, DAY):
        transact(connection, _day, start_us, law)
    for guard in guards:
        connection.execute(guard["sql"])
    transact(connection, _sums, making)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = connection.execute("SELECT name LIKE 'ledger%', sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 1").fetchall()
    (making.folder / SIZES).write_text(json.dumps([size for _, size in pages]))
    connection.close()


def _roster(connection: sqlite3.Connection, making: Made) -> None:
    open_volumes(connection, [("disk-0", making.disk)], making.start_us)
    for number in range(1, CAMERAS + 1):
        camera = camera_id(number)
        details = {"stream_uri": f"rtsp://192.0.2.1:554/{number}"}
        roster.upsert_found(
            connection,
            camera,
            source="onvif",
            situation=Situation("listed"),
            at_us=making.start_us,
            details=details,
            volume=1,
        )
        roster.adopt(connection, camera, making.start_us)


def _lost_minute(camera: int, start_us: int) -> int:
    """Which minute of the day this camera misses."""
    return (camera * 97 + start_us // DAY * 31) % DAY_MINUTES


def _day(connection: sqlite3.Connection, start_us: int, law: SiteLaw) -> None:
    for hour_us in range(start_us, start_us + DAY, HOUR):
        told = [_hour(connection, camera, start_us, hour_us, law) for camera in range(1, CAMERAS + 1)]
        for rows in zip(*(rows for rows, _ in told), strict=True):  # a minute of every camera
            connection.executemany(
                f"INSERT INTO segment VALUES ({', '.join('?' * 19)})", [row for row in rows if row is not None]
            )
        for _, record in told:
            append(connection, hour_us + HOUR + 6 * MINUTE, LedgerKind.CAMERA_HOUR, record)


def _hour(
    connection: sqlite3.Connection, camera: int, day_us: int, hour_us: int, law: SiteLaw
) -> tuple[list[tuple[object, ...] | None], dict[str, object]]:
    """The rows of one camera's hour, None for the minute that is lost, and the ledger's record of it."""
    floor, _ = law.stamp(Situation("listed"), hour_us, hour_us, None)
    number = floor_no(connection, floor)
    lost_us = day_us + _lost_minute(camera, day_us) * MINUTE
    rows: list[tuple[object, ...] | None] = []
    segments = []
    for at_us in range(hour_us, hour_us + HOUR, MINUTE):
        if at_us == lost_us:
            rows.append(None)
            _break(connection, camera, at_us)
            continue
        keep_until_us = _keep_until(law, at_us + MINUTE)
        seq = at_us // MINUTE % 10**6
        size = 30_000_000 + (camera * 7919 + seq * 104729) % 1_000_000
        sha256 = hashlib.sha256(b"%d/%d" % (camera, at_us)).digest()
        end_us = at_us + MINUTE
        rows.append(
            (camera, 0, at_us, 12, seq, end_us, keep_until_us, number, 1, size, 1500, 30, 0, *CODEC, 0, 0, sha256)
        )
        segments.append(HourSegment(at_us, end_us, 12, seq, size, sha256, floor))
    covered = _covered(Span(hour_us, hour_us + HOUR), lost_us)
    record = hour_record(camera_id(camera), StreamKind.MAIN, hour_us // HOUR, covered, segments, None)
    assert record is not None
    return rows, record


_kept: dict[int, int] = {}


def _keep_until(law: SiteLaw, end_us: int) -> int:
    """The real stamp, once a civil day and once for the midnight that ends it."""
    day = (end_us // MINUTE * MINUTE + 8 * HOUR) // DAY
    if day not in _kept:
        floor, _kept[day] = law.stamp(Situation("listed"), end_us, end_us, None)
        assert isinstance(floor, Floor)
    return _kept[day]


def _covered(window: Span, lost_us: int) -> Coverage:
    lost = Span(lost_us, lost_us + MINUTE)
    if not window.start_us <= lost_us < window.end_us:
        return Coverage(window, (window,), ())
    left = tuple(
        span for span in (Span(window.start_us, lost.start_us), Span(lost.end_us, window.end_us)) if span.length_us
    )
    return Coverage(window, left, (Gap(lost, Cause.CLOSED),))


def _break(connection: sqlite3.Connection, camera: int, at_us: int) -> None:
    """What the journal tells of a lost minute."""
    facts = [
        (camera, 0, at_us + SECOND, "stream_down", "REC-010", at_us, Cause.CLOSED.value, 0, 0),
        (camera, 0, at_us + MINUTE, "stream_up", RECORDER, None, None, 0, 0),
    ]
    connection.executemany("INSERT INTO fact VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", facts)


def _sums(connection: sqlite3.Connection, making: Made) -> None:
    """What intake keeps beside the rows."""
    connection.execute("INSERT INTO total SELECT camera, stream, volume, count(*), sum(bytes) FROM segment GROUP BY 1")
    law = site_law()
    for start_us in range(making.start_us, making.end_us, DAY):
        day = local_day(start_us, law.tz)
        connection.execute(
            "INSERT INTO camera_day (camera, stream, day, segments, bytes, frames) SELECT camera, stream, ?, count(*),"
            " sum(bytes), sum(frames) FROM segment WHERE camera <= ? AND stream = 0 AND start_us >= ? AND start_us < ?"
            " GROUP BY camera",
            (day, CAMERAS, start_us, start_us + DAY),
        )
    for camera in range(1, CAMERAS + 1):
        spans = list(_recorded(camera, making))
        connection.executemany("INSERT INTO coverage VALUES (?, 0, ?, ?)", [(camera, *span) for span in spans])
        connection.execute("INSERT INTO hour_done VALUES (?, 0, ?)", (camera, making.end_us // HOUR - 1))
        for day_us in range(making.start_us // DAY * DAY, making.end_us + DAY, DAY):
            folder = segment_path(camera_id(camera), StreamKind.MAIN, day_us, 0, 0).parent
            (making.disk / folder).mkdir(parents=True, exist_ok=True)
            # As if the files were there and had been compared.
            connection.execute(
                "INSERT INTO compared VALUES (1, ?, 0, ?, ?, ?)",
                (camera_id(camera), day_us // DAY, date_of(making.disk / folder), making.end_us),
            )
    connection.execute("INSERT INTO meta VALUES (?, ?)", (LONGEST_SEGMENT, str(MINUTE)))
    connection.execute("INSERT INTO camera_floor SELECT DISTINCT camera, floor FROM segment")
    at_us = making.end_us - MINUTE
    stood = {"retention_us": at_us, "wall_us": at_us, "mono_us": 0, "boot_id": "boot-0"}
    append(connection, at_us, LedgerKind.CLOCK_READING, stood)
    connection.execute("INSERT INTO retention_clock VALUES (1, ?, 0, 'boot-0', ?)", (at_us, at_us))


def _recorded(camera: int, making: Made) -> Iterable[Span]:
    at_us = making.start_us
    for day_us in range(making.start_us, making.end_us, DAY):
        lost_us = day_us + _lost_minute(camera, day_us) * MINUTE
        if lost_us > at_us:
            yield Span(at_us, lost_us)
        at_us = lost_us + MINUTE
    if at_us < making.end_us:
        yield Span(at_us, making.end_us)


async def _mirror(making: Made) -> None:
    """The volume's copy of the ledger, by the code that keeps it."""
    database = Database(making.index)
    clock: Clock = ManualClock(making.end_us)
    volume = await database.write(open_volumes, [("disk-0", making.disk)], making.end_us)
    mirror = Mirror(database, clock, _only(volume), RECORDER, open_key(making.index.parent, ORIGIN))
    try:
        await mirror.catch_up()
        assert not mirror.behind
    finally:
        mirror.close()
        database.close()


def _only(volumes: list[Volume]) -> Volume:
    (volume,) = volumes
    assert not volume.fenced
    return volume
