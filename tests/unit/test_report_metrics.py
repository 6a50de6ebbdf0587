"""The scrape: accepted by promtool, complete from the beginning, and without a word about the place (I9)."""

import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edged.model import Cause
from edged.report.health import (
    LedgerHealth,
    OutageHealth,
    Snapshot,
    VolumeForecast,
    VolumeHealth,
    camera_details,
    health_document,
)
from edged.report.metrics import Metrics
from tests.reporting import STARTED_US, a_camera, a_snapshot

VOLUME = VolumeHealth(volume="disk-a", online=True, size_bytes=1000, free_bytes=400)
FORECAST = VolumeForecast(volume="disk-a", room_bytes=400, needed_bytes=500, full_us=7_000_000)


def scrape(snapshot: Snapshot) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = Metrics(lambda: snapshot).render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def busy(cameras: int) -> Snapshot:
    return a_snapshot(
        cameras=tuple(
            a_camera(n, frames=10**7, received_bytes=10**12, received_packets=10**9, oldest_us=STARTED_US, outage="o")
            for n in range(cameras)
        ),
        outages=tuple(
            OutageHealth(
                outage=f"out-{n}",
                camera=f"cam-{n}",
                state="reported",
                cause=Cause.STALLED,
                t0_us=STARTED_US,
                report_due_us=STARTED_US,
                attend_due_us=STARTED_US,
                overdue=("report",),
            )
            for n in range(cameras)
        ),
        volumes=(VOLUME,),
    )


@pytest.mark.parametrize("snapshot", [a_snapshot(0), busy(3)], ids=["empty", "busy"])
def test_promtool_has_nothing_to_say(snapshot: Snapshot) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    text = Metrics(lambda: snapshot).render()
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (result.returncode, result.stderr.decode()) == (0, "")


def test_every_combination_exists_from_the_beginning() -> None:
    values = scrape(a_snapshot(2, volumes=(VOLUME,), forecasts=(FORECAST,)))
    for camera in ("cam-1", "cam-2"):
        assert values["edged_camera_recording", (("camera", camera),)] == 1
        assert values["edged_camera_outage_open", (("camera", camera),)] == 0
        assert values["edged_camera_frames_total", (("camera", camera),)] == 0
        for duty in ("attendance", "report"):
            assert values["edged_outage_deadline_overdue", (("camera", camera), ("duty", duty))] == 0
    assert values["edged_retention_deleted_segments_total", ()] == 0
    assert values["edged_volume_free_bytes", (("volume", "disk-a"),)] == 400
    assert values["edged_volume_needed_bytes", (("volume", "disk-a"),)] == 500
    assert values["edged_volume_room_bytes", (("volume", "disk-a"),)] == 400
    assert values["edged_volume_full_timestamp_seconds", (("volume", "disk-a"),)] == 7
    assert values["edged_volume_full_alarm", (("volume", "disk-a"),)] == 0
    assert values["edged_ledger_copy_behind", (("volume", "disk-a"),)] == 0
    assert values["edged_ledger_rewritten", ()] == 0


def test_a_ledger_that_is_not_well_shows() -> None:
    values = scrape(a_snapshot(1, volumes=(VOLUME,), ledger=LedgerHealth(behind=("disk-a",), rewritten=True)))
    assert values["edged_ledger_copy_behind", (("volume", "disk-a"),)] == 1
    assert values["edged_ledger_rewritten", ()] == 1


def test_an_outage_shows_and_a_removed_camera_takes_its_series_along() -> None:
    values = scrape(busy(2))
    assert values["edged_outage_deadline_overdue", (("camera", "cam-1"), ("duty", "report"))] == 1
    assert values["edged_outage_deadline_overdue", (("camera", "cam-1"), ("duty", "attendance"))] == 0
    assert values["edged_outage_report_due_timestamp_seconds", (("camera", "cam-1"),)] == STARTED_US / 1e6
    assert values["edged_camera_outage_open", (("camera", "cam-1"),)] == 1
    assert not any(("camera", "cam-1") in labels for _, labels in scrape(busy(1)))


def test_what_is_not_known_has_no_sample() -> None:
    dead = VolumeHealth(volume="disk-a", online=False, size_bytes=None, free_bytes=None)
    values = scrape(a_snapshot(cameras=(a_camera(1, last_committed_us=None),), volumes=(dead,)))
    names = {name for name, _ in values}
    assert "edged_camera_last_committed_timestamp_seconds" not in names
    assert "edged_volume_free_bytes" not in names
    assert values["edged_volume_online", (("volume", "disk-a"),)] == 0


def test_a_number_has_the_same_name_everywhere() -> None:
    names = {name for name, _ in scrape(a_snapshot(cameras=(a_camera(1, oldest_us=1),)))}
    counts = {"cameras", "cameras_recording", "outages_open", "outages_overdue"}  # sums of series
    for prefix, document in (
        ("edged", health_document(a_snapshot(1))),
        ("edged_camera", camera_details(a_camera(1, oldest_us=1))),
    ):
        for field, value in document.items():
            if isinstance(value, int) and field not in counts | {"at_us", "floor_days", "started_us"}:
                stem = f"{prefix}_{field}".removesuffix("_us")
                assert names & {stem, f"{stem}_seconds", f"{stem}_timestamp_seconds", f"{stem}_total"}, field


def test_i9_labels_carry_ids_and_nothing_else() -> None:
    text = Metrics(lambda: busy(2)).render().decode()
    labels = set(re.findall(r'(\w+)="', text))
    assert labels == {"version", "camera", "duty", "volume"}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "version" or re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", value)
