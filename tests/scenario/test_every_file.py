"""I1, I2: every file that edged keeps beside the footage, altered by hand, and what that does to what must be kept.

The table is compared with the files of a real box: a new one fails here until somebody has written down why it cannot
shorten what is kept, or has tried it. Each alteration is tried twice: with the index as it was, and with the index
lost, so that the volumes are all there is to go by.
"""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edged.app.proving import read_again
from edged.archive.ledger import line_of
from edged.base.clock import DAY, SECOND
from edged.base.errors import Fatal
from edged.base.files import canonical_json
from tests.law_box import Box, World
from tests.scenario.test_every_key import BASE, HELD, KEY_TARGET, OWN, full, recorded

Alter = Callable[[bytes], bytes | None]  # None: the file is gone


def nothing(content: bytes) -> bytes:
    return content


def gone(_: bytes) -> None:
    return None


def emptied(_: bytes) -> bytes:
    return b""


def garbage(content: bytes) -> bytes:
    return b"\x00{" + content[: len(content) // 2]


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def says(**fields: Any) -> Alter:
    """The same JSON object, but for `fields`; called so in the test's name."""

    def alter(content: bytes) -> bytes:
        return canonical_json({**json.loads(content), **fields}) + b"\n"

    alter.__name__ = f"says {', '.join(f'{name}={value}' for name, value in fields.items())}"
    return alter


def doubled(content: bytes) -> bytes:
    return content + content


def without_the_first_line(content: bytes) -> bytes:
    return content[content.index(b"\n") + 1 :]


def without_the_last_line(content: bytes) -> bytes:
    return content[: content.rstrip(b"\n").rindex(b"\n") + 1]


def recorded_long_ago(content: bytes) -> bytes:
    """Every label a year earlier."""
    return re.sub(rb'("(?:start|end)_us":)(\d+)', lambda m: b"%s%d" % (m[1], int(m[2]) - 365 * DAY), content)


def other_hashes(content: bytes) -> bytes:
    return re.sub(rb'"sha256":"[0-9a-f]{64}"', b'"sha256":"%s"' % (b"0" * 64), content)


def smaller_floors(content: bytes) -> bytes:
    return re.sub(rb'"floor_days":\d+', b'"floor_days":1', content)


def with_a_release(content: bytes) -> bytes:
    """Entries that nobody made and no head stands over: two people released the hold, the camera was removed."""
    forged = [
        ("hold_release_first", {"hold": "hold-1", "by": "x"}),
        ("hold_released", {"hold": "hold-1", "first": "x", "second": "y"}),
        ("camera_removed", {"camera": HELD, "by": "x"}),
    ]
    last = content.count(b"\n")
    lines = [
        line_of(last + number, 1_793_923_200_000_000, kind, canonical_json(body).decode()) + b"\n"
        for number, (kind, body) in enumerate(forged, start=1)
    ]
    return content + b"".join(lines)


FILES: dict[str, str | tuple[Alter, ...]] = {
    "v1/segments/*/*/*.mp4": "footage: whoever deletes it needs no edged; the day's proof says MISSING_UNEXPLAINED",
    "v1/held/*/segments/*/*/*.mp4": "second names of footage",
    "v1/held/*/hold.json": (
        gone,
        emptied,
        garbage,
        says(end_us=1_793_491_140_000_001),
        says(start_us=1_793_491_200_000_000),
        says(cameras=["cam-z"]),
        says(hold="hold-2"),
        says(release1_by="x", release1_us=1, release2_by="y", released_us=2),
    ),
    "v1/VOLUME.json": (gone, emptied, garbage, says(uuid="another"), says(volume="v2")),
    "v1/journal/*/*.ndjson": (
        gone,
        emptied,
        garbage,
        halved,
        doubled,
        without_the_first_line,
        recorded_long_ago,
        other_hashes,
    ),
    "v1/ledger/*/*.ndjson": (gone, emptied, garbage, halved, without_the_last_line, smaller_floors, with_a_release),
    "v1/ledger/*/checkpoint": (gone, garbage),
    "v1/ledger/*/key.pem": (gone, garbage),
    "state/index.sqlite3": (nothing, gone, garbage, halved),
    "state/ledger-key.pem": (gone, garbage),
    "state/ledger-key.pub.pem": (gone, garbage),
    "state/assignment-nvr.json": "what is to be recorded; nothing is deleted by it",
    "run/metrics.port": "a port number",
    "edged.toml": "tests/scenario/test_every_key.py",
}
TRIES = [(path, alter) for path, tries in FILES.items() if not isinstance(tries, str) for alter in tries]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_every_file_stands_in_the_table(world: World) -> None:
    await recorded(world)
    files = {file.relative_to(world.folder) for file in world.folder.rglob("*") if file.is_file()}
    assert {path for path in FILES if not any(file.match(path) for file in files)} == set(), "there is no such file"
    assert {str(file) for file in files if not any(file.match(path) for path in FILES)} == set()


async def begin_to_delete(box: Box) -> None:
    """As a start does: compare the volumes with the index, and be done with waiting for them."""
    await box.house.compare()
    read = [volume.id for volume in box.house.volumes if not volume.fenced]
    await box.house.database.write(read_again, box.house.config, read, box.world.clock.wall_us())


@pytest.mark.parametrize("index", ["kept", "lost"])
@pytest.mark.parametrize(("path", "alter"), TRIES, ids=[f"{path} {alter.__name__}" for path, alter in TRIES])
async def test_i1_i2_no_altered_file_shortens_what_is_kept(world: World, path: str, alter: Alter, index: str) -> None:
    rows = await recorded(world)
    if index == "lost" and not path.startswith("state/index"):
        (world.folder / "state" / "index.sqlite3").unlink()
    (file,) = world.folder.glob(path)
    content = alter(file.read_bytes())
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    dates = sorted(rows.values(), key=lambda row: row.keep_until_us)
    # What cannot be read at all is said by not starting: nothing is deleted then.
    with contextlib.suppress(Fatal):
        async with world.box(BASE) as box:
            await begin_to_delete(box)
            for row in dates:
                world.wait_until(row.keep_until_us - SECOND)
                await full(box)
                assert box.file(row.key).exists(), f"I1: {row.key.camera}"
            world.clock.advance(200 * 86_400)
            await full(box)
            files = {row.key.camera: box.file(row.key).exists() for row in dates}
            assert files[HELD], "I2"
            if alter is nothing:
                assert files == {HELD: True, KEY_TARGET: False, OWN: False}, "the sweep works"
    held = next(row for row in dates if row.key.camera == HELD)
    assert any(world.folder.glob(f"v1/segments/{HELD}/*/*-{held.key.seq}.mp4")), "I2"


SMALLER = {'designations = ["key_target"]': "", 'keep_at_least = "40d"': "", 'keep_at_least = "50d"': ""}


@pytest.mark.parametrize("recorder", ["nvr", "another"])
async def test_i1_i2_a_second_edged_on_the_same_disk_deletes_nothing_before_its_time(
    world: World, recorder: str
) -> None:
    """Its own index, a configuration that keeps less; under the same id it takes the ledger over, under another not."""
    rows = await recorded(world)
    (world.folder / "elsewhere").mkdir()
    world.edits = {'/state"': '/elsewhere"', "[recorder]": f'[recorder]\nid = "{recorder}"', **SMALLER}
    async with world.box(BASE) as box:
        await begin_to_delete(box)
        for row in sorted(rows.values(), key=lambda row: row.keep_until_us):
            world.wait_until(row.keep_until_us - SECOND)
            await full(box)
            assert box.file(row.key).exists(), f"I1: {row.key.camera}"
        world.clock.advance(10 * 86_400)
        report = await box.sweep()
        files = {row.key.camera: box.file(row.key).exists() for row in rows.values()}
        if recorder == "nvr":
            assert files == {HELD: True, KEY_TARGET: False, OWN: False}
        else:
            assert files == {HELD: True, KEY_TARGET: True, OWN: True}
            assert report.skipped["v1"].startswith("it holds the ledger of recorder nvr, which tells")
            (world.folder / "v1" / "ledger" / "nvr").rename(world.folder / "away")
            assert (await box.sweep()).erased == 2, "the held one is held by its hold.json"
            assert box.file(next(iter(rows))).exists(), "I2"
