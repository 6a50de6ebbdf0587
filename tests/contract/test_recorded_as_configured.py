"""From the configuration over discovery to files: the small stream where it is wanted, and what each stream is told."""

import json
from pathlib import Path
from typing import Any

from edged.model import StreamKind
from simulators.fleet import Fleet
from simulators.judge import read_frames
from tests.box import Box, until
from tests.sim_viewer import fresh_subnet

DISCOVERY = """
[discovery]
probe = {addresses}
every = "2s"
adopt = "auto"
login = {{ username = "admin", password = "secret" }}
"""


def streams(box: Box) -> list[dict[str, Any]]:
    path = box.state / "assignment-box.json"
    return list(json.loads(path.read_bytes())["streams"]) if path.exists() else []


def small_segments(box: Box) -> set[str]:
    return {fact.camera for fact in box.sealed() if fact.stream is StreamKind.SUB}


async def test_both_streams_of_discovered_cameras_are_recorded_where_the_site_says_so(tmp_path: Path) -> None:
    async with Fleet(cameras=3, gop=25, subnet=fresh_subnet()) as fleet:
        addresses = json.dumps([str(camera.onvif_url).split("/")[2] for camera in fleet.cameras])
        with Box(tmp_path, DISCOVERY.format(addresses=addresses)) as box:
            box.config.write_text(box.config.read_text().replace("[recorder]", "[recorder]\nsub = true\naudio = true"))
            box.start()
            await until(lambda: len(streams(box)) == 6, "two streams of each camera are wanted")
            quiet = streams(box)[0]["camera"]
            assert box.end() == 0
            # One camera is otherwise: the site's word does not hold for it.
            with box.config.open("a") as config:
                config.write(f'[[camera]]\nid = "{quiet}"\nsub = false\naudio = false\n')
            before = len(box.sealed())
            box.start()
            await until(lambda: len(streams(box)) == 5, "one camera's small stream is wanted no more")
            assert {one["camera"] for one in streams(box) if not one["audio"]} == {quiet}
            await until(lambda: len(box.recording()) == 3, "all cameras are recorded")
            await until(lambda: len(small_segments(box)) >= 2, "small streams are recorded")
            await until(lambda: len(box.sealed()) >= before + 5, "segments are sealed")
            assert box.end() == 0
            journal = {(fact.camera, fact.start_us, fact.run, fact.seq) for fact in box.sealed()}
            assert box.indexed() == journal
        stored: dict[tuple[int, str], int] = {}
        for path in box.files():
            stream = "sub" if path.parent.parent.name.endswith("~sub") else "main"
            for frame in read_frames(path):
                stored[frame.camera, stream] = stored.get((frame.camera, stream), 0) + 1
        sent: dict[tuple[int, str], int] = {}
        for number, camera in enumerate(fleet.cameras, start=1):
            for session in camera.stats()["sessions"]:
                key = number, session["stream"]
                sent[key] = sent.get(key, 0) + session["frames"]
        assert {key: frames for key, frames in sent.items() if frames} == stored
        assert {stream for _, stream in stored} == {"main", "sub"}
