"""I1, I2: every key of the configuration, and every rule pack, and what each does to footage that must be kept.

The table is compared with the configuration's own records: a new key fails here until somebody has written down that
it cannot shorten what is kept, or has tried it. Each try is a restart with the key changed, over a full disk: every
file stays until the date it was first given, what is held stays after it, and the ledger says which key was changed.
"""

import shutil
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from edged.archive.ledger import LedgerKind
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Space
from edged.base.clock import SECOND
from edged.config import Config
from edged.law.packs import shipped_packs
from edged.retain.rows import StoredSegment
from tests.law_box import Box, World

BASE = """
[retention]
grace = "3d"
keep_at_least = "40d"
[[camera]]
id = "cam-a"
url = "rtsp://127.0.0.1/a"
[[camera]]
id = "cam-b"
url = "rtsp://127.0.0.1/b"
designations = ["key_target"]
[[camera]]
id = "cam-c"
url = "rtsp://127.0.0.1/c"
place = "other"
keep_at_least = "50d"
"""
HELD, KEY_TARGET, OWN = "cam-a", "cam-b", "cam-c"
FLOORS = {HELD: 40, KEY_TARGET: 90, OWN: 50}
SITE = 'id = "s"'
RETENTION = "[retention]"
A, B = 'id = "cam-a"', 'id = "cam-b"'

Edits = dict[str, str]


def add(before: str, *lines: str) -> Edits:
    return {before: "\n".join([before, *lines])}


RECORDS = "says how to reach or record a camera; deletes nothing"
TELLS = "says when or whom to tell; deletes nothing"
PACES = "paces work; decides no deletion"
KEYS: dict[str, str | Sequence[Edits]] = {
    "site.id": [{SITE: 'id = "another"'}],
    "site.timezone": [add(SITE, f'timezone = "{zone}"') for zone in ("Pacific/Pago_Pago", "Pacific/Kiritimati")],
    "site.jurisdiction": [{'"jilin"': f'"{name}"'} for name in ("weihai", "lhasa", "nowhere")],
    "site.place": [add(SITE, 'place = "other"')],
    "site.designations": [add(SITE, 'designations = ["guard_service"]')],
    "site.repair_unit": TELLS,
    "site.superior_department": TELLS,
    "recorder.id": [add("[recorder]", 'id = "another"')],
    "recorder.state_dir": [{'/state"': '/elsewhere"'}],
    "recorder.runtime_dir": "holds sockets",
    "recorder.segment": RECORDS,
    "recorder.fragment": RECORDS,
    "recorder.sync": RECORDS,
    "recorder.processes": RECORDS,
    "recorder.audio": RECORDS,
    "recorder.sub": RECORDS,
    "recorder.transport": RECORDS,
    "recorder.tls_ca": RECORDS,
    "volume.id": [{'id = "v1"': 'id = "v2"'}],
    "volume.path": [{'/v1"': '/v2"'}],
    "volume.reserve": [add('id = "v1"', 'reserve = "9000GiB"')],
    "discovery.enabled": RECORDS,
    "discovery.interfaces": RECORDS,
    "discovery.probe": RECORDS,
    "discovery.every": RECORDS,
    "discovery.adopt": RECORDS,
    "discovery.login.username": RECORDS,
    "discovery.login.password": RECORDS,
    "discovery.login.password_file": RECORDS,
    "camera.id": [{A: 'id = "cam-z"'}, {B: 'id = "cam-z"'}, {A: 'id = "cam-z"', B: A, 'id = "cam-z"': B}],
    "camera.name": "shown to people",
    "camera.url": [{'url = "rtsp://127.0.0.1/a"': "", "enabled = false": 'enabled = true\nevery = "1h"'}],
    "camera.sub_url": RECORDS,
    "camera.login.username": RECORDS,
    "camera.login.password": RECORDS,
    "camera.login.password_file": RECORDS,
    "camera.place": [add(A, 'place = "other"'), add(B, 'place = "other"')],
    "camera.designations": [{'designations = ["key_target"]': ""}],
    "camera.volume": [add(A, 'volume = "v1"')],
    "camera.priority": "says who stops first on a full disk; deletes nothing",
    "camera.keep": [add(A, 'keep = "floor"'), add(B, 'keep = "floor"')],
    "camera.keep_at_least": [{'keep_at_least = "50d"': ""}],
    "camera.audio": RECORDS,
    "camera.sub": RECORDS,
    "camera.transport": RECORDS,
    "camera.tls_ca": RECORDS,
    "camera.tls_pin": RECORDS,
    "camera.redirect_hosts": RECORDS,
    "retention.grace": [{'grace = "3d"': 'grace = "0d"'}],
    "retention.keep": [add(RETENTION, 'keep = "floor"')],
    "retention.keep_at_least": [{'keep_at_least = "40d"': ""}, {'keep_at_least = "40d"': 'keep_at_least = "1d"'}],
    "retention.sweep_every": PACES,
    "retention.batch": PACES,
    "retention.alarm_ahead": TELLS,
    "retention.scrub_within": PACES,
    "retention.camera_clocks": [add(RETENTION, "camera_clocks = false")],
    "retention.immutable_holds": "makes held files harder to delete, never easier",
    "retention.rule_packs": [add(RETENTION, f'rule_packs = "PACKS/{name}"') for name in ("fewer", "lapsed", "draft")],
    "outage.suspect_after": TELLS,
    "outage.outage_after": TELLS,
    "outage.sustained": TELLS,
    "outage.contract_report_within": TELLS,
    "outage.contract_attend_within": TELLS,
    "mqtt.host": TELLS,
    "mqtt.port": TELLS,
    "mqtt.login.username": TELLS,
    "mqtt.login.password": TELLS,
    "mqtt.login.password_file": TELLS,
    "mqtt.tls": TELLS,
    "mqtt.ca_file": TELLS,
    "mqtt.keepalive": TELLS,
    "mqtt.health_every": TELLS,
    "metrics.host": TELLS,
    "metrics.port": TELLS,
    "api.socket": "moves a socket",
}
# Every minimum of every shipped pack, made smaller, or no longer in force.
PACKS = {
    "fewer": ("value = ", "value = 1  # "),
    "lapsed": ('status = "in_force"', 'status = "lapsed"'),
    "draft": ('status = "in_force"', 'status = "draft"'),
}


def keys(record: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key that the configuration may have, with the tables it stands in."""
    for name, field in record.model_fields.items():
        inner = [each for each in _types(field.annotation) if issubclass(each, BaseModel)]
        if inner:
            yield from keys(inner[0], f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _types(annotation: object) -> Iterator[type]:
    origin = typing.get_origin(annotation)
    if origin in (tuple, typing.Union, types.UnionType, typing.Annotated):
        for each in typing.get_args(annotation):
            yield from _types(each)
    elif isinstance(annotation, type):
        yield annotation


def test_every_key_stands_in_the_table() -> None:
    assert set(keys(Config)) == set(KEYS)


@pytest.fixture
def world(tmp_path: Path) -> World:
    for folder in ("v2", "elsewhere"):
        (tmp_path / folder).mkdir()
    for name, (old, new) in PACKS.items():
        shutil.copytree(shipped_packs(), tmp_path / "packs" / name)
        for pack in (tmp_path / "packs" / name).glob("*.toml"):
            pack.write_text(pack.read_text().replace(old, new))
    return World(tmp_path)


async def recorded(world: World) -> dict[SegmentKey, StoredSegment]:
    """A segment of each camera, the first one held, five days old; by the configuration as it was."""
    async with world.box(BASE) as box:
        await box.sweep()
        cameras = [await box.record(camera) for camera in FLOORS]
        await box.hold(HELD, cameras[0].start_us)
        world.clock.advance(5 * 86_400)
        await box.house.hours.one_pass()
        await full(box)
        await box.house.evidence.keep_step()
        await box.house.proofs.finish()
        rows = {key: await box.row(key) for key in cameras}
        assert {key.camera: row.floor.days for key, row in rows.items() if row} == FLOORS
        return {key: row for key, row in rows.items() if row}


async def full(box: Box) -> int:
    """A pass of the sweep, on a disk without any room; how much went."""
    box.house.sweep._space = lambda _: Space(2**40, 0)
    return (await box.sweep()).erased


TRIES = [(key, edits) for key, tries in KEYS.items() if not isinstance(tries, str) for edits in tries]


@pytest.mark.parametrize(("key", "edits"), TRIES, ids=[f"{key}-{number}" for number, (key, _) in enumerate(TRIES)])
async def test_i1_i2_no_key_shortens_what_is_kept(world: World, key: str, edits: Edits) -> None:
    rows = await recorded(world)
    world.edits = {old: new.replace("PACKS", str(world.folder / "packs")) for old, new in edits.items()}
    async with world.box(BASE) as box:
        assert await full(box) == 0
        told = await box.told(LedgerKind.CONFIG_CHANGED, LedgerKind.RULES_CHANGED)
        assert any("changed" in entry.body or key == "recorder.state_dir" for entry in told), "nobody was told"
        for segment, before in rows.items():
            row = await box.row(segment)
            if key != "recorder.state_dir" or row is not None:
                assert row is not None
                assert row.floor.days >= before.floor.days
                assert row.keep_until_us >= before.keep_until_us
        for before in sorted(rows.values(), key=lambda row: row.keep_until_us):
            world.wait_until(before.keep_until_us - SECOND)
            await full(box)
            assert box.file(before.key).exists(), f"I1: {before.key.camera}"
        assert box.file(next(iter(rows))).exists(), "I2"
    world.edits = {}
    world.wait_until(max(row.keep_until_us for row in rows.values()) + 40 * 86_400 * SECOND)
    async with world.box(BASE) as box:
        await full(box)
        files = {segment.camera: box.file(segment).exists() for segment in rows}
        assert files == {HELD: True, KEY_TARGET: False, OWN: False}, "the sweep works: nothing else kept the footage"
