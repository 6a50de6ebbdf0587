"""From the configuration and the roster to what each recorder process is to record, and on which volume."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from edged.app.dealing import process_ids, process_of
from edged.archive.roster import Camera
from edged.archive.volumes import Volume, free_space
from edged.config import CameraConfig, Config, LoginConfig
from edged.model import CameraState, StreamKind
from edged.record.assignment import AssignedStream, AssignedVolume, Assignment

_NOTHING_SAID = CameraConfig(id="any")


def place(adopted: Iterable[Camera], free: Mapping[int, int]) -> list[tuple[int, int]]:
    """(camera no, volume no) for each camera whose volume is none of `free`, which maps volume no to free bytes.

    A camera goes where most space is free for each camera that writes there, itself included: cameras adopted
    together spread, and a larger disk takes more of them.
    """
    cameras = list(adopted)
    writing = Counter(camera.volume for camera in cameras if camera.volume in free)
    placed: list[tuple[int, int]] = []
    for camera in cameras:
        if camera.volume in free or not free:
            continue
        best = max(free, key=lambda no: (free[no] / (writing[no] + 1), -no))
        writing[best] += 1
        placed.append((camera.no, best))
    return placed


def free_bytes(volumes: Iterable[Volume]) -> dict[int, int]:
    """The free space of each volume by its number; 0 where it cannot be read."""
    spaces = {volume.no: free_space(volume.path) for volume in volumes}
    return {no: 0 if space is None else space.free for no, space in spaces.items()}


def assignments(
    config: Config,
    cameras: Iterable[Camera],
    volumes: Sequence[Volume],
    login_of: Callable[[str], LoginConfig | None],
    stopped: Collection[str] = (),
) -> dict[str, Assignment]:
    """What each recorder process is to record, by process id, all of generation 0.

    Cameras that are not adopted, have no usable volume, or whose stream is not known yet are left out; those `stopped`
    for want of space are named and not recorded. Raises OSError where a password file cannot be read.
    """
    recorder = config.recorder
    processes = process_ids(recorder.id, recorder.processes)
    usable = {volume.no: volume for volume in volumes if not volume.fenced}
    configured = {camera.id: camera for camera in config.camera}
    streams: dict[str, list[AssignedStream]] = {process: [] for process in processes}
    for camera in cameras:
        if camera.state is CameraState.ADOPTED and camera.volume in usable and camera.details.get("stream_uri"):
            streams[process_of(camera.id, processes)] += _streams(
                config,
                configured.get(camera.id, _NOTHING_SAID),
                camera,
                usable[camera.volume].id,
                login_of(camera.id),
                no_room=camera.id in stopped,
            )
    return {
        process: Assignment(
            generation=0,
            recorder=process,
            segment_seconds=recorder.segment,
            fragment_seconds=recorder.fragment,
            sync_seconds=recorder.sync,
            volumes=tuple(
                AssignedVolume(id=volume.id, path=str(volume.path), uuid=volume.uuid) for volume in usable.values()
            ),
            streams=tuple(streams[process]),
        )
        for process in processes
    }


def _streams(
    config: Config, said: CameraConfig, camera: Camera, volume: str, login: LoginConfig | None, *, no_room: bool
) -> list[AssignedStream]:
    site = config.recorder
    urls = {StreamKind.MAIN: str(camera.details["stream_uri"])}
    if (site.sub if said.sub is None else said.sub) and camera.details.get("sub_stream_uri"):
        urls[StreamKind.SUB] = str(camera.details["sub_stream_uri"])
    # A camera that shows a certificate of its own has no use for the site's authorities.
    authorities = said.tls_ca or (None if said.tls_pin else site.tls_ca)
    return [
        AssignedStream(
            camera=camera.id,
            stream=stream,
            url=url,
            username=login.username if login else "",
            password=login.read_password() if login else "",
            volume=volume,
            # Inside TLS the media goes the way of the conversation.
            transport="tcp" if url.startswith("rtsps:") else said.transport or site.transport,
            tls_ca=str(authorities or ""),
            tls_pin=said.tls_pin or "",
            redirect_hosts=said.redirect_hosts,
            audio=site.audio if said.audio is None else said.audio,
            no_room=no_room,
        )
        for stream, url in urls.items()
    ]
