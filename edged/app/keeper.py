"""Keeps the roster and, from it, the recorder's desired state.

Whatever changes the roster (a camera found, adopted, moved, removed; the configuration at start) ends here, and the
assignment is written again only where it differs.
"""

import asyncio
import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edged.archive import roster
from edged.archive.database import Database
from edged.archive.roster import Camera, Place
from edged.archive.volumes import Volume, free_space
from edged.base.clock import Clock
from edged.config import CameraConfig, Config, LoginConfig
from edged.discover.found import Found, Known
from edged.discover.port import Login
from edged.model import CameraState, StreamKind
from edged.record.assignment import (
    AssignedStream,
    AssignedVolume,
    Assignment,
    BadAssignment,
    read_assignment,
    write_assignment,
)

log = logging.getLogger(__name__)


class Keeper:
    """One roster, one assignment. `place_known` hears the place of every camera before its footage is stamped."""

    def __init__(
        self,
        config: Config,
        database: Database,
        clock: Clock,
        volumes: Sequence[Volume],
        assignment: Path,
        place_known: Callable[[str, Place], None],
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._volumes = volumes
        self._path = assignment
        self._place_known = place_known
        self._configured = {camera.id: camera for camera in config.camera}
        self._one_at_a_time = asyncio.Lock()
        self.cameras: tuple[Camera, ...] = ()

    async def begin(self) -> None:
        """Enter the configured cameras, take leave of those no longer configured, write the assignment."""
        await self._database.write(self._enter_configured, self._clock.wall_us())
        await self._refresh()

    async def found(self, found: Found) -> None:
        """Discovery met a device: enter it, and adopt it where the configuration says so."""
        if not found.camera_id:
            return
        await self._database.write(self._enter_found, found, self._clock.wall_us())
        await self._refresh()

    async def adopt(self, camera: str, by: str) -> Camera:
        """Record the camera from now on. Raises UnknownCamera, BadEntry of the roster."""
        adopted = await self._database.write(roster.adopt, camera, self._clock.wall_us(), by)
        await self._refresh()
        return adopted

    async def remove(self, camera: str, by: str) -> Camera:
        """Record it no longer. Raises UnknownCamera, CameraHeld."""
        removed = await self._database.write(roster.remove, camera, self._clock.wall_us(), by)
        await self._refresh()
        return removed

    def known(self) -> Iterable[Known]:
        """The roster as discovery compares it."""
        for camera in self.cameras:
            if camera.source == "onvif":
                yield Known(
                    camera_id=camera.id,
                    endpoint_reference=camera.endpoint_reference or "",
                    serial=camera.serial or "",
                    address=str(camera.details.get("address", "")),
                    firmware=camera.details.get("firmware"),
                    stream_uri=camera.details.get("stream_uri"),
                )

    def login_for(self, camera: str) -> Login | None:
        """The login that the configuration gives for a camera, for ONVIF."""
        login = self._login(camera)
        return None if login is None else Login(username=login.username, password=login.read_password())

    def place_of(self, camera: str) -> Place:
        """Listed or other: the camera's own, else the site's."""
        configured = self._configured.get(camera)
        return (configured.place if configured else None) or self._config.site.place

    def _login(self, camera: str) -> LoginConfig | None:
        configured = self._configured.get(camera)
        if configured is not None and (configured.login is not None or configured.url is not None):
            return configured.login
        return self._config.discovery.login

    def _enter_configured(self, connection: sqlite3.Connection, now_us: int) -> None:
        for camera in self._config.camera:
            if camera.url is not None:
                roster.upsert_found(
                    connection,
                    camera.id,
                    source="static",
                    place=self.place_of(camera.id),
                    at_us=now_us,
                    name=camera.name,
                    volume=self._volume_no(camera),
                    details={"stream_uri": camera.url},
                )
                roster.adopt(connection, camera.id, now_us, "configuration")
        for known in roster.cameras(connection, CameraState.ADOPTED):
            configured = self._configured.get(known.id)
            if known.source == "static" and (configured is None or configured.url is None):
                try:
                    roster.remove(connection, known.id, now_us, "configuration")
                except roster.CameraHeld as held:
                    log.warning("%s is not configured any more but goes on being recorded: %s", known.id, held.what)

    def _enter_found(self, connection: sqlite3.Connection, found: Found, now_us: int) -> None:
        configured = self._configured.get(found.camera_id)
        details = None
        if found.problem is None:
            details = {
                "address": found.address,
                "xaddr": found.xaddr,
                "stream_uri": found.stream_uri,
                "manufacturer": found.manufacturer,
                "model": found.model,
                "firmware": found.firmware,
                "profiles": [dataclasses.asdict(profile) for profile in found.profiles],
            }
        camera = roster.upsert_found(
            connection,
            found.camera_id,
            source="onvif",
            place=self.place_of(found.camera_id),
            at_us=now_us,
            name=configured.name if configured else None,
            endpoint_reference=found.endpoint_reference or None,
            serial=found.serial or None,
            volume=self._volume_no(configured) if configured else None,
            clock_offset_us=found.clock_offset_us,
            details=details,
        )
        wanted = self._config.discovery.adopt == "auto" and found.problem is None
        if wanted and camera.state is CameraState.FOUND:
            roster.adopt(connection, camera.id, now_us, "discovery.adopt = auto")

    def _volume_no(self, camera: CameraConfig) -> int | None:
        return next((volume.no for volume in self._volumes if volume.id == camera.volume and volume.no), None)

    async def _refresh(self) -> None:
        async with self._one_at_a_time:
            self.cameras = tuple(await self._database.write(self._place_on_volumes))
            for camera in self.cameras:
                self._place_known(camera.id, self.place_of(camera.id))
            # On the index's thread, because the file lies on the same disk and is synced.
            await self._database.read(lambda _: self._write_assignment())

    def _place_on_volumes(self, connection: sqlite3.Connection) -> list[Camera]:
        """Give each adopted camera a volume, the emptiest one, and leave it there as long as it can be used."""
        usable = {volume.no: volume for volume in self._volumes if not volume.fenced}
        for camera in roster.cameras(connection, CameraState.ADOPTED):
            if camera.volume not in usable and usable:
                emptiest = max(usable.values(), key=_free)
                connection.execute("UPDATE camera SET volume = ? WHERE no = ?", (emptiest.no, camera.no))
        return roster.cameras(connection)

    def _write_assignment(self) -> None:
        recorder = self._config.recorder
        usable = {volume.no: volume for volume in self._volumes if not volume.fenced}
        wanted = Assignment(
            generation=0,
            recorder=recorder.id,
            segment_seconds=recorder.segment,
            fragment_seconds=recorder.fragment,
            sync_seconds=recorder.sync,
            volumes=tuple(
                AssignedVolume(id=volume.id, path=str(volume.path), uuid=volume.uuid) for volume in usable.values()
            ),
            streams=tuple(
                self._stream(camera, usable[camera.volume].id)
                for camera in self.cameras
                if camera.state is CameraState.ADOPTED and camera.volume in usable and camera.details.get("stream_uri")
            ),
        )
        try:
            current = read_assignment(self._path)
        except (FileNotFoundError, BadAssignment):
            current = None
        if current is None or dataclasses.replace(current, generation=0) != wanted:
            generation = 1 if current is None else current.generation + 1
            write_assignment(self._path, dataclasses.replace(wanted, generation=generation))
            log.info("assignment %d: %d streams", generation, len(wanted.streams))

    def _stream(self, camera: Camera, volume: str) -> AssignedStream:
        login = self._login(camera.id)
        return AssignedStream(
            camera=camera.id,
            stream=StreamKind.MAIN,
            url=str(camera.details["stream_uri"]),
            username=login.username if login else "",
            password=login.read_password() if login else "",
            volume=volume,
        )


def _free(volume: Volume) -> int:
    space = free_space(volume.path)
    return 0 if space is None else space.free
