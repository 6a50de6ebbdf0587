"""Keeps the roster and, from it, the recorders' desired state.

Whatever changes the roster (a camera found, adopted, moved, removed; the configuration at start) ends here, and an
assignment is written again only where it differs.
"""

import asyncio
import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

from edged.app import assigning
from edged.app.dealing import MOST, process_ids
from edged.archive import roster
from edged.archive.database import Database
from edged.archive.roster import Camera
from edged.archive.volumes import Volume
from edged.base.clock import Clock
from edged.base.errors import TryAgain
from edged.config import CameraConfig, Config, LoginConfig
from edged.discover.found import Found, Known
from edged.discover.port import Login
from edged.model import CameraState, Situation
from edged.record.assignment import BadAssignment, read_assignment, write_assignment
from edged.record.process import assignment_path
from edged.retain.pressure import Room
from edged.retain.rows import held_at
from edged.retain.stops import SpaceStop, settle, space_stops

log = logging.getLogger(__name__)


class AssignmentUnwritten(TryAgain):
    """What is to be recorded could not be told to the recorder, which goes on with what it had."""

    code = "APP-020"
    hint = "see to the disk of state_dir and to the password files; it is tried again"


class Keeper:
    """One roster, an assignment for each recorder process.

    `situation_known` hears what the law goes by at every camera before its footage is stamped;
    `clock_heard` by how much an adopted camera's clock is ahead of ours, None where it does not tell or is removed.
    """

    def __init__(
        self,
        config: Config,
        database: Database,
        clock: Clock,
        volumes: Sequence[Volume],
        situation_known: Callable[[str, Situation], None],
        clock_heard: Callable[[str, int | None], None],
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._volumes = volumes
        self._situation_known = situation_known
        self._clock_heard = clock_heard
        self._configured = {camera.id: camera for camera in config.camera}
        self._one_at_a_time = asyncio.Lock()
        self._written = False  # the assignments are what the roster wants
        self.cameras: tuple[Camera, ...] = ()
        self.stops: Mapping[str, SpaceStop] = {}  # cameras not recorded because their volume is full

    async def begin(self) -> None:
        """Enter the configured cameras, take leave of those no longer configured, write the assignment."""
        for camera in self._configured:  # a lost index knows none of them, but their journals will
            self._situation_known(camera, self.situation_of(camera))
        await self._database.write(self._enter_configured, self._clock.wall_us())
        self.stops = await self._database.read(space_stops)
        await self._refresh()

    async def found(self, found: Found) -> None:
        """Discovery met a device: enter it, and adopt it where the configuration says so."""
        if not found.camera_id:
            return
        if any(c.id == found.camera_id and c.state is CameraState.ADOPTED for c in self.cameras):
            self._clock_heard(found.camera_id, found.clock_offset_us)  # before anything takes time
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
        self._clock_heard(camera, None)
        await self._refresh()
        return removed

    async def settle_space(self, volume: str, stopped: Mapping[str, int], room: Room | None) -> None:
        """Have exactly the cameras of `stopped` (bytes a second by id) stopped on a full `volume`, and no other."""
        self.stops = await self._database.write(settle, volume, stopped, room, self._clock.wall_us())
        await self._refresh()

    async def move(self, volumes: Mapping[str, int]) -> None:
        """Record each camera on the volume of that number from now on."""
        await self._database.write(roster.put_on, volumes)
        await self._refresh()

    async def mend(self) -> None:
        """Write the assignments where that failed the last time. Raises AssignmentUnwritten, IndexFull."""
        if not self._written:
            await self._refresh()

    def stopped_on(self, volume: str) -> int:
        """How many cameras are not recorded because `volume` is full."""
        return sum(self.stops[camera].volume == volume for camera in self._stopped())

    async def held_now(self) -> frozenset[str]:
        """The cameras of which an evidence hold covers what they record now."""
        return await self._database.read(held_at, self._clock.wall_us())

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

    def situation_of(self, camera: str) -> Situation:
        """What the law goes by at a camera, configured or not."""
        return self._config.situation(self._configured.get(camera))

    def priority_of(self, camera: str) -> int:
        """1 to 9; where a volume is full the lowest stops first."""
        return self._configured.get(camera, CameraConfig(id=camera)).priority

    def _stopped(self) -> set[str]:
        """The cameras of `stops` that are still on the volume they were stopped for."""
        ids = {volume.no: volume.id for volume in self._volumes if not volume.fenced}
        return {
            camera.id
            for camera in self.cameras
            if camera.id in self.stops and camera.volume and ids.get(camera.volume) == self.stops[camera.id].volume
        }

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
                    situation=self.situation_of(camera.id),
                    at_us=now_us,
                    name=camera.name,
                    volume=self._volume_no(camera),
                    details={"stream_uri": camera.url, "sub_stream_uri": camera.sub_url or ""},
                )
                try:
                    roster.adopt(connection, camera.id, now_us, "configuration")
                except roster.CameraHeld as held:
                    log.warning("%s is configured again but not recorded: %s", camera.id, held.what)
        for known in roster.cameras(connection):
            roster.situate(connection, known.id, self.situation_of(known.id))
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
                "sub_stream_uri": found.sub_stream_uri,
                "manufacturer": found.manufacturer,
                "model": found.model,
                "firmware": found.firmware,
                "profiles": [dataclasses.asdict(profile) for profile in found.profiles],
            }
        camera = roster.upsert_found(
            connection,
            found.camera_id,
            source="onvif",
            situation=self.situation_of(found.camera_id),
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
            self._written = False
            self.cameras = tuple(await self._database.write(self._place_on_volumes))
            for camera in self.cameras:
                self._situation_known(camera.id, self.situation_of(camera.id))
            # On the index's thread, because the files lie on the same disk and are synced.
            try:
                await self._database.read(lambda _: self._write_assignments())
            except OSError as error:
                raise AssignmentUnwritten(f"the assignment is not written ({error.strerror})") from error
            self._written = True

    def _place_on_volumes(self, connection: sqlite3.Connection) -> list[Camera]:
        """Give each adopted camera a volume, and leave it there as long as that can be used."""
        usable = [volume for volume in self._volumes if not volume.fenced]
        adopted = roster.cameras(connection, CameraState.ADOPTED)
        for camera_no, volume_no in assigning.place(adopted, assigning.free_bytes(usable)):
            connection.execute("UPDATE camera SET volume = ? WHERE no = ?", (volume_no, camera_no))
        return roster.cameras(connection)

    def _write_assignments(self) -> None:
        recorder = self._config.recorder
        wanted = assigning.assignments(self._config, self.cameras, self._volumes, self._login, self._stopped())
        for process in process_ids(recorder.id, MOST):
            path = assignment_path(recorder.state_dir, process)
            assignment = wanted.get(process)
            if assignment is None:
                # From when there were more processes: it must not go on recording what others record now.
                if not path.exists():
                    continue
                assignment = dataclasses.replace(wanted[recorder.id], recorder=process, volumes=(), streams=())
            try:
                current = read_assignment(path)
            except (FileNotFoundError, BadAssignment):
                current = None
            if current is None or dataclasses.replace(current, generation=0) != assignment:
                generation = 1 if current is None else current.generation + 1
                write_assignment(path, dataclasses.replace(assignment, generation=generation))
                log.info("recorder %s: assignment %d has %d streams", process, generation, len(assignment.streams))
