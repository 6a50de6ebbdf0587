"""What an operator types against a running box, what it answers, and that nothing confidential leaves it (I9)."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from simulators.fleet import Fleet
from tests.box import Box, until
from tests.brokers import listening, running_mosquitto
from tests.sim_viewer import fresh_subnet

DISCOVERY = """
[discovery]
probe = {addresses}
every = "2s"
adopt = "manual"
login = {{ username = "admin", password = "open-sesame" }}
"""


def edged(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edged", *words], capture_output=True, text=True, timeout=60, check=False
    )


async def test_an_operators_day(tmp_path: Path) -> None:
    async with Fleet(cameras=2, gop=25, subnet=fresh_subnet(), password="open-sesame") as fleet:
        addresses = json.dumps([str(camera.onvif_url).split("/")[2] for camera in fleet.cameras])
        with Box(tmp_path, DISCOVERY.format(addresses=addresses)) as box:
            box.start()
            found = await until(lambda: len(box.cameras()) == 2 and box.cameras(), "both cameras are found")
            assert {camera["roster"] for camera in found} == {"found"}
            first, second = sorted(camera["camera"] for camera in found)
            where = (await asyncio.to_thread(box.edged, "cameras", "list", "--addresses"))["cameras"]
            assert {camera["address"] for camera in where} == {camera.address for camera in fleet.cameras}
            assert not {"address", "model"} & set(found[0]), "only where somebody asks for it"
            told = await asyncio.to_thread(box.edged, "discover")
            assert {one["camera"] for one in told["found"]} == {first, second}

            # Nothing is recorded before somebody adopts it.
            assert not box.sealed()
            await asyncio.to_thread(box.edged, "cameras", "adopt", first, "--by", "site engineer")
            await until(lambda: box.recording() == [first], "the adopted camera is recorded")
            await until(lambda: len(box.sealed()) >= 2, "segments are sealed")

            status = await asyncio.to_thread(box.edged, "status", expect=(0, 1))
            assert status["cameras_recording"] == 1
            assert status["volumes"][0]["free_bytes"] > 0
            coverage = await asyncio.to_thread(box.edged, "cameras", "coverage", first)
            gaps = sum(gap["seconds"] for gap in coverage["gaps"])
            assert coverage["recorded_s"] + gaps == pytest.approx(coverage["window_s"], abs=0.005)
            listed = await asyncio.to_thread(box.edged, "retention", "segments", first)
            segment = listed["segments"][0]
            assert Path(segment["file"]).stat().st_size == segment["bytes"]
            why = await asyncio.to_thread(box.edged, "retention", "explain", segment["id"])
            assert "order-799/17" in why["explanations"][0]["rules"]
            law = await asyncio.to_thread(box.edged, "law", "explain", "--camera", first)
            assert [entry["id"] for entry in law["entries"] if entry["gives_floor"]] == law["rules"]
            refused = {entry["id"]: entry["why"] for entry in law["entries"] if not entry["applies"]}
            assert "designated key_target alone" in refused["counter-terrorism/32"]
            papers = await asyncio.to_thread(box.edged, "law", "explain", "--camera", first, "--topic", "retrieval")
            gate = next(entry for entry in papers["entries"] if entry["id"] == "jilin-236/28")
            assert (gate["applies"], gate["value"], gate["unit"]) == (True, 2, "person")
            assert gate["details"]["documents"] == ["work_id", "approval"]

            hold = await asyncio.to_thread(
                box.edged,
                *("holds", "place", first, "--from", segment["from"], "--case", "2026-17", "--authority", "police"),
                *("--document", "41", "--by", "first officer"),
            )
            assert hold["segments"] >= 1
            wider = await asyncio.to_thread(
                box.edged,
                "holds",
                "extend",
                hold["id"],
                "--camera",
                second,
                "--document",
                "42",
                "--by",
                "first officer",
            )
            assert wider["cameras"] == [first, second]
            linked = Path(str(segment["file"]).replace("/segments/", f"/held/{hold['id']}/segments/"))
            await until(lambda: linked.exists() and linked.samefile(segment["file"]), "held footage has a second name")
            listed = await asyncio.to_thread(box.edged, "holds")
            [told] = listed["holds"]
            assert told["evidence"] == "linked" or told["evidence"].endswith(" to link")
            assert listed["not_immutable"] == {}
            plan = await asyncio.to_thread(box.edged, "retention", "plan", "--add-camera", "4M", expect=(0, 1))
            assert {camera["camera"] for camera in plan["cameras"]} == {first, "added-1"}
            assert plan["volumes"][0]["needed_bytes"] >= 32 * 86400 * 4_000_000 // 8
            await asyncio.to_thread(box.edged, "retention", "plan", "--add-camera", "a lot", expect=(2,))
            confirm = ("retention", "clock", "confirm", "--by")
            assert not (await asyncio.to_thread(box.edged, *confirm, "first officer"))["complete"]
            await asyncio.to_thread(box.edged, *confirm, "First Officer", expect=(4,))
            assert (await asyncio.to_thread(box.edged, *confirm, "second officer"))["complete"]
            # A held camera is not removed, and one person does not release.
            await asyncio.to_thread(box.edged, "cameras", "remove", first, "--by", "x", expect=(4,))
            await asyncio.to_thread(box.edged, "holds", "release", hold["id"], "--by", "first officer")
            await asyncio.to_thread(box.edged, "holds", "release", hold["id"], "--by", "First  Officer", expect=(4,))
            await asyncio.to_thread(box.edged, "holds", "release", hold["id"], "--by", "second officer")
            await asyncio.to_thread(box.edged, "cameras", "remove", first, "--by", "site engineer")
            await until(lambda: not box.recording(), "a removed camera is not recorded")
            assert box.end() == 0


async def test_what_people_see_is_a_table_and_bad_requests_are_refused_with_a_sentence(tmp_path: Path) -> None:
    async with Fleet(cameras=1, gop=25, subnet=fresh_subnet(), password="open-sesame") as fleet:
        addresses = json.dumps([str(camera.onvif_url).split("/")[2] for camera in fleet.cameras])
        with Box(tmp_path, DISCOVERY.format(addresses=addresses).replace("manual", "auto")) as box:
            box.start()
            [camera] = await until(box.recording, "the camera is recorded")
            socket = ("--socket", str(box.run_dir / "api.sock"))
            for words, shown in (
                (("cameras",), "FLOOR"),
                (("status",), "recording 1 of 1 camera, 0 outages open"),
                (("outages",), "no outage is open"),
                (("holds",), "no hold is in force"),
                (("retention",), "order-799/17"),
                (("cameras", "coverage", camera), "recorded"),
            ):
                done = await asyncio.to_thread(edged, *words, *socket)
                assert (done.returncode, shown in done.stdout) == (0, True), (words, done.stdout, done.stderr)
            refused: list[tuple[tuple[str, ...], str]] = [
                (("cameras", "adopt", "nobody"), "no camera has the id nobody"),
                (("outages", "show", "none"), "none"),
                (("outages", "attended", "none", "--by", "me"), "none"),
                (("holds", "release", "hold-9", "--by", "me"), "there is no hold hold-9"),
                (("retention", "explain", "rubbish"), "not a segment's id"),
                (("retention", "explain", "--camera", camera, "--at", "yesterday"), "is not a time"),
                (("cameras", "coverage", camera, "--from", "2026-01-01T00:00:00"), "has no offset"),
            ]
            for asked, reason in refused:
                done = await asyncio.to_thread(edged, *asked, *socket)
                assert (done.returncode, reason in done.stderr) == (4, True), (asked, done.stdout, done.stderr)
            assert box.end() == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--version",), 0),
        (("--help",), 0),
        (("holds", "place", "--help"), 0),
        ((), 2),
        (("rubbish",), 2),
        (("outages", "report", "x"), 2),
        (("status", "--socket", "/nonexistent/api.sock"), 3),
        (("check-config", "--config", "/nonexistent/edged.toml"), 2),
        (("run", "--config", "/nonexistent/edged.toml"), 2),
    ],
)
def test_exit_codes_mean_something(words: tuple[str, ...], code: int) -> None:
    done = edged(*words)
    assert done.returncode == code, done.stderr
    assert (done.stdout if code == 0 else done.stderr).strip()
    assert "Traceback" not in done.stderr


def test_a_refused_configuration_touches_nothing(tmp_path: Path) -> None:
    with Box(tmp_path, "\n[surprise]\nkey = 1\n") as box:
        before = sorted(path for path in tmp_path.rglob("*"))
        done = edged("run", "--config", str(box.config))
        assert (done.returncode, "surprise: unknown key" in done.stderr) == (2, True)
        assert sorted(path for path in tmp_path.rglob("*")) == before


async def test_a_second_controller_is_refused(tmp_path: Path) -> None:
    with Box(tmp_path, '\n[[camera]]\nid = "nobody"\nurl = "rtsp://127.0.0.1:9/main"\n') as box:
        box.start()
        await until(lambda: len(box.cameras()) == 1, "the controller answers")
        second = await asyncio.to_thread(edged, "run", "--config", str(box.config))
        assert (second.returncode, "another controller" in second.stderr) == (2, True)
        assert box.end() == 0


async def test_i9_nothing_confidential_reaches_mqtt_metrics_or_the_log(tmp_path: Path) -> None:
    async with Fleet(cameras=2, gop=25, subnet=fresh_subnet(), password="open-sesame") as fleet:
        addresses = json.dumps([str(camera.onvif_url).split("/")[2] for camera in fleet.cameras])
        with running_mosquitto(tmp_path / "broker") as mosquitto:
            extra = DISCOVERY.format(addresses=addresses).replace("manual", "auto")
            extra += f'\n[mqtt]\nhost = "127.0.0.1"\nport = {mosquitto.port}\nhealth_every = "1s"\n'
            with Box(tmp_path / "box", extra) as box:
                async with listening(mosquitto.port) as ear:
                    box.start()
                    await until(lambda: len(box.recording()) == 2, "both cameras are recorded")
                    await fleet.cameras[0].unplug()
                    await until(lambda: open_outages(box) == 1, "an outage is opened")
                    await fleet.cameras[1].change_password("changed-too")
                    await until(lambda: open_outages(box) == 2, "and another one")
                    port = (box.run_dir / "metrics.port").read_text().strip()
                    page = await asyncio.to_thread(scrape, int(port))
                    assert await asyncio.to_thread(box.end) == 0
                    await until(lambda: ear.on("death"), "the farewell is heard")
                kinds = {topic.split("/")[4] for topic, _, _ in ear.heard}
                # Whether the forecast has been told by now depends on when the first footage was indexed.
                assert kinds - {"retention"} == {"birth", "death", "health", "camera", "outage", "ledger"}
                assert "edged_camera_outage_open" in page
                assert "opened" in box.log()
                secrets = ["open-sesame", "changed-too", "rtsp://", "http://", "/onvif", "Simulated", "Asia"]
                for camera in fleet.cameras:
                    identity = camera.identity
                    secrets += [camera.address, identity.serial, identity.mac, identity.endpoint_reference]
                for where, text in {"log": box.log(), "metrics": page, "mqtt": json.dumps(ear.heard)}.items():
                    assert not [secret for secret in secrets if secret in text], where


def open_outages(box: Box) -> int:
    return len(box.edged("outages", expect=(0, 1))["outages"])


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        page: str = answer.read().decode()
        return page
