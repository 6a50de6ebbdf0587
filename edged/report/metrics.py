"""The snapshot as Prometheus metrics: one collector, consistent, with no stale series and no address in a label (I9).

Moments are timestamps, never ages: ``time() - x`` keeps counting when this process hangs. Every combination of labels
exists from the beginning, at 0, so that an alert can tell "none" from "unknown"; a camera that is removed takes its
series along. A value that is not known has no sample.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edged.base.clock import DAY, SECOND
from edged.report.health import CameraHealth, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DUTIES = ("report", "attendance")

Value = float | int | None
_PerCamera = tuple[str, str, Callable[[CameraHealth], Value]]

_CAMERA_GAUGES: tuple[_PerCamera, ...] = (
    ("recording", "Whether frames of the camera are being committed to a volume.", lambda c: int(c.recording)),
    (
        "last_committed_timestamp_seconds",
        "End of the last frame written to a volume.",
        lambda c: _seconds(c.last_committed_us),
    ),
    ("since_timestamp_seconds", "When the stream came into its present state.", lambda c: _seconds(c.since_us)),
    ("outage_open", "Whether an outage of the camera is open.", lambda c: int(c.outage is not None)),
    (
        # Seconds because that is Prometheus' unit; the floor itself is counted in local civil days (DESIGN 7).
        "floor_seconds",
        "Minimum retention in force.",
        lambda c: None if c.floor_days is None else c.floor_days * DAY // SECOND,
    ),
    ("oldest_timestamp_seconds", "Start of the oldest segment kept.", lambda c: _seconds(c.oldest_us)),
)
_CAMERA_COUNTERS: tuple[_PerCamera, ...] = (
    ("frames", "Whole frames recorded.", lambda c: c.frames),
    ("received_bytes", "Bytes of media received.", lambda c: c.received_bytes),
    ("received_packets", "RTP packets received.", lambda c: c.received_packets),
    ("lost_packets", "RTP packets lost on the way.", lambda c: c.lost_packets),
    ("sessions", "RTSP sessions begun.", lambda c: c.sessions),
)


class SnapshotCollector(Collector):
    """Renders whatever `snapshot` gives at the moment of the scrape."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering asks for no snapshot."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, in a fixed order."""
        snapshot = self._snapshot()
        yield from _box(snapshot)
        yield from _cameras(snapshot)
        yield from _outages(snapshot)
        yield from _volumes(snapshot)
        yield from _forecasts(snapshot)
        yield from _ledger(snapshot)
        yield from _retention(snapshot)


class Metrics:
    """What ``/metrics`` answers with."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(SnapshotCollector(snapshot))

    def render(self) -> bytes:
        """The text format 0.0.4 (see `CONTENT_TYPE`). About 15 ms for 256 cameras: call it off the event loop."""
        return generate_latest(self._registry)


def _box(snapshot: Snapshot) -> Iterator[Metric]:
    build = GaugeMetricFamily("edged_build_info", "The running version; always 1.", labels=["version"])
    build.add_metric([snapshot.version], 1)
    yield build
    yield _gauge("start_time_seconds", "When this controller started.", _seconds(snapshot.started_us))
    yield _gauge("recorder_online", "Whether the recorder process answers.", int(snapshot.recorder_online))
    yield _gauge("index_full", "Whether the disk of the index has no room.", int(snapshot.index_full))
    yield _gauge("event_loop_lag_seconds", "How late the event loop last was.", snapshot.event_loop_lag_us / SECOND)
    yield _gauge("mqtt_connected", "Whether the broker is connected.", int(snapshot.mqtt_connected))
    yield _gauge("mqtt_outbox_messages", "Messages waiting for the broker.", snapshot.mqtt_outbox_messages)
    incomplete = "Whether retention is read-only: the index was lost or old, and not every volume was read since."
    yield _gauge("archive_incomplete", incomplete, int(snapshot.archive_incomplete))
    altered = "Segments that were read again and are not what was recorded."
    yield _gauge("footage_altered", altered, snapshot.footage_altered)
    yield _gauge("hold_active", "Evidence holds not yet released.", snapshot.hold_active)
    reminders = "Evidence holds in force whose reminder has come: to be released, or extended."
    yield _gauge("hold_reminders", reminders, len(snapshot.hold_reminders))


def _cameras(snapshot: Snapshot) -> Iterator[Metric]:
    labels = [(camera, [camera.camera]) for camera in snapshot.cameras]
    for name, text, value in _CAMERA_GAUGES:
        gauge = GaugeMetricFamily(f"edged_camera_{name}", text, labels=["camera"])
        for camera, label in labels:
            _add(gauge, label, value(camera))
        yield gauge
    for name, text, value in _CAMERA_COUNTERS:
        counter = CounterMetricFamily(
            f"edged_camera_{name}", f"{text} Since the recorder process started.", labels=["camera"]
        )
        for camera, label in labels:
            _add(counter, label, value(camera))
        yield counter


def _outages(snapshot: Snapshot) -> Iterator[Metric]:
    overdue = GaugeMetricFamily(
        "edged_outage_deadline_overdue",
        "Whether a deadline of the camera's open outage has passed unfulfilled.",
        labels=["camera", "duty"],
    )
    late = {(outage.camera, duty) for outage in snapshot.outages for duty in outage.overdue}
    for camera in snapshot.cameras:
        for duty in DUTIES:
            overdue.add_metric([camera.camera, duty], int((camera.camera, duty) in late))
    yield overdue
    report = GaugeMetricFamily(
        "edged_outage_report_due_timestamp_seconds",
        "When the open outage must have been reported; absent once it is.",
        labels=["camera"],
    )
    attendance = GaugeMetricFamily(
        "edged_outage_attendance_due_timestamp_seconds",
        "When the repair unit must be on site; absent before the report was received and once it is there.",
        labels=["camera"],
    )
    for outage in snapshot.outages:
        _add(report, [outage.camera], _seconds(outage.report_due_us))
        _add(attendance, [outage.camera], _seconds(outage.attend_due_us))
    yield report
    yield attendance


def _volumes(snapshot: Snapshot) -> Iterator[Metric]:
    online = GaugeMetricFamily("edged_volume_online", "Whether the volume is written to.", labels=["volume"])
    size = GaugeMetricFamily("edged_volume_size_bytes", "Size of the volume's file system.", labels=["volume"])
    free = GaugeMetricFamily("edged_volume_free_bytes", "Space left for recordings.", labels=["volume"])
    stopped = GaugeMetricFamily(
        "edged_volume_cameras_stopped",
        "Cameras not recorded because the volume is full of footage that must be kept.",
        labels=["volume"],
    )
    for volume in snapshot.volumes:
        online.add_metric([volume.volume], int(volume.online))
        _add(size, [volume.volume], volume.size_bytes)
        _add(free, [volume.volume], volume.free_bytes)
        stopped.add_metric([volume.volume], volume.cameras_stopped)
    yield from (online, size, free, stopped)


def _forecasts(snapshot: Snapshot) -> Iterator[Metric]:
    room = GaugeMetricFamily("edged_volume_room_bytes", "What recordings may take in all.", labels=["volume"])
    needed = GaugeMetricFamily("edged_volume_needed_bytes", "What the floors demand of the volume.", labels=["volume"])
    full = GaugeMetricFamily(
        "edged_volume_full_timestamp_seconds",
        "When footage that may not go will have filled the volume; absent where that is not in sight.",
        labels=["volume"],
    )
    alarm = GaugeMetricFamily(
        "edged_volume_full_alarm",
        "Whether that is within the days ahead that retention.alarm_ahead gives.",
        labels=["volume"],
    )
    for forecast in snapshot.forecasts:
        alarm.add_metric([forecast.volume], int(forecast.alarm))
        room.add_metric([forecast.volume], forecast.room_bytes)
        needed.add_metric([forecast.volume], forecast.needed_bytes)
        _add(full, [forecast.volume], _seconds(forecast.full_us))
    yield from (room, needed, full, alarm)


def _ledger(snapshot: Snapshot) -> Iterator[Metric]:
    behind = GaugeMetricFamily(
        "edged_ledger_copy_behind", "Whether the volume's copy of the ledger does not follow.", labels=["volume"]
    )
    for volume in snapshot.volumes:
        behind.add_metric([volume.volume], int(volume.volume in snapshot.ledger.behind))
    yield behind
    rewritten = int(snapshot.ledger.rewritten)
    yield _gauge("ledger_rewritten", "Whether the ledger contradicts a head that this box has signed.", rewritten)


def _retention(snapshot: Snapshot) -> Iterator[Metric]:
    trusted = int(snapshot.retention_clock_trusted)
    yield _gauge("retention_clock_trusted", "Whether the clock that deletion asks is trusted.", trusted)
    for name, amount in (
        ("segments", snapshot.retention_deleted_segments),
        ("bytes", snapshot.retention_deleted_bytes),
    ):
        deleted = CounterMetricFamily(f"edged_retention_deleted_{name}", "Deleted since this controller started.")
        deleted.add_metric([], amount)
        yield deleted


def _gauge(name: str, text: str, value: Value) -> Metric:
    gauge = GaugeMetricFamily(f"edged_{name}", text)
    _add(gauge, [], value)
    return gauge


def _add(family: GaugeMetricFamily | CounterMetricFamily, labels: Sequence[str], value: Value) -> None:
    if value is not None:
        family.add_metric(labels, value)


def _seconds(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / SECOND
