"""How the recorder is doing, as one frozen record, and the documents made from it.

A ``Snapshot`` is filled once by the integrator from archive and status, and read by MQTT, metrics, the API and the
watchdog alike, so that a number has the same name and the same value wherever it is shown. A field named ``x_us`` is
the metric ``x_timestamp_seconds`` where it is a moment and ``x_seconds`` where it is a duration.
"""

from dataclasses import dataclass

from edged.model import Cause, StreamState
from edged.report.messages import CAPABILITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraHealth:
    """One adopted camera, by its recorded stream. Counters count since the recorder process started."""

    camera: str
    recording: bool  # frames are being committed: the truth outages go by, not the session
    state: StreamState | None  # None: the recorder has not said anything about it
    since_us: int | None  # when it came into this state
    cause: Cause | None  # why it is not streaming
    last_committed_us: int | None  # end of the last frame written to a volume
    frames: int = 0
    received_bytes: int = 0
    received_packets: int = 0
    lost_packets: int = 0
    sessions: int = 0
    floor_days: int | None = None  # the minimum retention in force
    oldest_us: int | None = None  # start of the oldest segment kept
    outage: str | None = None  # id of the open outage


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageHealth:
    """One open outage. `overdue` names the duties (``report``, ``attendance``) whose deadline passed unfulfilled."""

    outage: str
    camera: str
    state: str
    cause: Cause
    t0_us: int
    report_due_us: int | None  # None once reported
    attend_due_us: int | None  # None before the report was received, and once attended
    overdue: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeHealth:
    """One volume; sizes are None where the disk could not be asked."""

    volume: str
    online: bool
    size_bytes: int | None
    free_bytes: int | None
    cameras_stopped: int = 0  # not recorded, because it is full of footage that must be kept


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeForecast:
    """What a volume's room means for the floors of its cameras (see `edged retention plan`)."""

    volume: str
    room_bytes: int  # what recordings may take in all
    needed_bytes: int  # what the floors demand of it
    full_us: int | None  # when footage that may not go will have filled it; None where that is not in sight
    alarm: bool = False  # that day is within the days ahead at which the site wants to be told


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """How the ledger stands: the volumes whose copy does not follow, and whether it contradicts a signed head."""

    behind: tuple[str, ...] = ()
    rewritten: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that is published about this recorder at one instant."""

    at_us: int
    site: str
    recorder: str
    version: str
    started_us: int
    recorder_online: bool  # the recorder process answers on its status socket
    cameras: tuple[CameraHealth, ...] = ()
    outages: tuple[OutageHealth, ...] = ()
    volumes: tuple[VolumeHealth, ...] = ()
    forecasts: tuple[VolumeForecast, ...] = ()
    ledger: LedgerHealth = LedgerHealth()
    index_full: bool = False  # the disk of the index has no room: nothing is indexed, held, deleted or told over MQTT
    archive_incomplete: bool = False  # the index was lost or old, and not every volume was read since: nothing goes
    retention_clock_trusted: bool = False
    retention_deleted_segments: int = 0  # since this controller started
    retention_deleted_bytes: int = 0
    hold_active: int = 0
    hold_reminders: tuple[str, ...] = ()  # holds in force whose reminder has come: to be released, or extended
    footage_altered: int = 0  # segments that were read again and are not what was recorded
    event_loop_lag_us: int = 0
    mqtt_connected: bool = False
    mqtt_outbox_messages: int = 0


def problems(snapshot: Snapshot) -> list[str]:
    """What needs somebody's attention, as words; empty where all is well."""
    found = {
        "recorder_offline": not snapshot.recorder_online,
        "outage_open": bool(snapshot.outages),
        "outage_overdue": any(outage.overdue for outage in snapshot.outages),
        "archive_incomplete": snapshot.archive_incomplete,
        "disk_full": any(volume.cameras_stopped for volume in snapshot.volumes),
        "volume_offline": any(not volume.online for volume in snapshot.volumes),
        "disk_too_small": any(forecast.alarm for forecast in snapshot.forecasts),
        "footage_altered": snapshot.footage_altered > 0,
        "hold_reminder": bool(snapshot.hold_reminders),
        "index_full": snapshot.index_full,
        "ledger_behind": bool(snapshot.ledger.behind),
        "ledger_rewritten": snapshot.ledger.rewritten,
        "retention_clock_untrusted": not snapshot.retention_clock_trusted,
    }
    return [word for word, true in found.items() if true]


def health_document(snapshot: Snapshot) -> dict[str, object]:
    """The whole recorder in one object: topic ``health`` and the API's answer."""
    return {
        "at_us": snapshot.at_us,
        "version": snapshot.version,
        "started_us": snapshot.started_us,
        "problems": problems(snapshot),
        "cameras": len(snapshot.cameras),
        "cameras_recording": sum(camera.recording for camera in snapshot.cameras),
        "outages_open": len(snapshot.outages),
        "outages_overdue": sum(1 for outage in snapshot.outages if outage.overdue),
        "outages": [outage.outage for outage in snapshot.outages],
        "volumes": [
            {
                "volume": volume.volume,
                "online": volume.online,
                "size_bytes": volume.size_bytes,
                "free_bytes": volume.free_bytes,
                "cameras_stopped": volume.cameras_stopped,
            }
            for volume in snapshot.volumes
        ],
        "recorder_online": snapshot.recorder_online,
        "index_full": snapshot.index_full,
        "ledger_behind": list(snapshot.ledger.behind),
        "ledger_rewritten": snapshot.ledger.rewritten,
        "archive_incomplete": snapshot.archive_incomplete,
        "retention_clock_trusted": snapshot.retention_clock_trusted,
        "hold_active": snapshot.hold_active,
        "hold_reminders": list(snapshot.hold_reminders),
        "footage_altered": snapshot.footage_altered,
        "event_loop_lag_us": snapshot.event_loop_lag_us,
        "mqtt_connected": snapshot.mqtt_connected,
        "mqtt_outbox_messages": snapshot.mqtt_outbox_messages,
    }


def retention_document(snapshot: Snapshot) -> dict[str, object]:
    """Whether the disks are large enough for the law: topic ``retention``. It changes when the forecast does."""
    return {
        "alarm": any(forecast.alarm for forecast in snapshot.forecasts),
        "volumes": [
            {
                "volume": forecast.volume,
                "room_bytes": forecast.room_bytes,
                "needed_bytes": forecast.needed_bytes,
                "enough": forecast.needed_bytes <= forecast.room_bytes,
                "full_us": forecast.full_us,
                "alarm": forecast.alarm,
            }
            for forecast in snapshot.forecasts
        ],
    }


def camera_document(camera: CameraHealth) -> dict[str, object]:
    """One camera's state: topic ``camera/<id>``.

    It holds nothing that moves while all is well (no counters, no last frame), so that it is sent when something
    changed and not otherwise. Whoever wants to know whether frames still come asks the health and the metrics.
    """
    return {
        "camera": camera.camera,
        "state": "unknown" if camera.state is None else camera.state.value,
        "since_us": camera.since_us,
        "cause": None if camera.cause is None else camera.cause.value,
        "recording": camera.recording,
        "outage": camera.outage,
        "floor_days": camera.floor_days,
    }


def camera_details(camera: CameraHealth) -> dict[str, object]:
    """Everything about one camera, what moves included: for the API and `edged cameras --json`."""
    return camera_document(camera) | {
        "last_committed_us": camera.last_committed_us,
        "oldest_us": camera.oldest_us,
        "frames": camera.frames,
        "received_bytes": camera.received_bytes,
        "received_packets": camera.received_packets,
        "lost_packets": camera.lost_packets,
        "sessions": camera.sessions,
    }


def removed_document(camera: str) -> dict[str, object]:
    """The last word about a camera that is no longer recorded."""
    return {"camera": camera, "state": "removed", "recording": False, "cause": None, "outage": None}


def birth_document(snapshot: Snapshot) -> dict[str, object]:
    """Who begins to speak: version, start, every camera it will speak about, and what it can say."""
    return {
        "version": snapshot.version,
        "started_us": snapshot.started_us,
        "cameras": [camera.camera for camera in snapshot.cameras],
        "capabilities": list(CAPABILITIES),
    }


def status_line(snapshot: Snapshot) -> str:
    """What ``systemctl status`` shows, such as ``recording 3/4, 1 outage``."""
    recording = sum(camera.recording for camera in snapshot.cameras)
    line = f"recording {recording}/{len(snapshot.cameras)}"
    if snapshot.outages:
        line += f", {len(snapshot.outages)} outage{'s' if len(snapshot.outages) > 1 else ''}"
    overdue = sum(1 for outage in snapshot.outages if outage.overdue)
    return line + (f" ({overdue} overdue)" if overdue else "")
