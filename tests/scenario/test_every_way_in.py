"""I1, I2: every command and every route, with every parameter, and what each does to footage that must be kept.

The tables are compared with the argparse tree and the router of a real controller: a new command, option or route
fails here until somebody has written down what it does to footage, and tried it where it changes anything.
"""

import argparse
import asyncio
import contextlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from yarl import URL

from edged.app.run import only_instance
from edged.archive.segments import SegmentKey
from edged.base.clock import DAY
from edged.cli import build_parser, main
from tests.law_box import Box, World

YOUNG_DAYS = 5  # of a floor of thirty
BY = ("--by", "first officer")


class Command(NamedTuple):
    """A command's own options, and how it is tried; `reads` says why there is nothing to try."""

    options: str
    tries: Sequence[tuple[str, ...]] = ()
    reads: str = ""


ASKS = "asks the daemon by GET"
COMMANDS = {
    "run": Command("--config --external-recorder --log-level", reads="the daemon itself: what the box here is"),
    "recorder": Command("--id --log-level --runtime-dir --state-dir --takeover", reads="writes footage, deletes none"),
    "check-config": Command("--config", reads="asks no daemon"),
    "discover": Command("--config", reads="looks around; enters what it finds"),
    "cameras list": Command("--addresses", reads=ASKS),
    "cameras adopt": Command("--by camera", [("cam-a", *BY), ("cam-b", *BY)]),
    "cameras remove": Command("--by camera", [("cam-a", *BY), ("cam-b", *BY)]),
    "cameras coverage": Command("--from --to camera", reads=ASKS),
    "status": Command("", reads=ASKS),
    "outages list": Command("--all", reads=ASKS),
    "outages show": Command("outage", reads=ASKS),
    "outages report": Command("--at --received-by --to outage", reads="enters a receipt of an outage's report"),
    "outages attended": Command("--at --by outage", reads="enters an attendance"),
    "outages restored": Command("--by outage", reads="enters that a feed is back"),
    "holds list": Command("--all", reads=ASKS),
    "holds place": Command(
        "--authority --by --case --document --from --remind-on --to cameras",
        # A second, narrower hold under the same document takes nothing from the first.
        [
            (
                *("cam-a", "--from", "2020-01-01T00:00:00+08:00", "--to", "2020-01-01T00:00:01+08:00"),
                *("--case", "2026-17", "--authority", "county police", "--document", "41", *BY),
            )
        ],
    ),
    "holds extend": Command(
        "--by --camera --document --from --open --remind-on --to hold",
        [
            ("HOLD", "--to", "2026-11-01T00:00:00+08:00", "--document", "42", *BY),
            ("HOLD", "--from", "2030-01-01T00:00:00+08:00", "--document", "42", *BY),
            # A reminder that is long past asks people; it ends nothing.
            ("HOLD", "--remind-on", "2020-01-01", "--document", "42", *BY),
            ("HOLD", "--from", "2030-01-01T00:00:00+08:00", "--camera", "cam-b", "--document", "42", *BY),
        ],
    ),
    "holds release": Command(
        "--by hold",
        # One person, however the name is written.
        [
            ("HOLD", "--by", name)
            for name in (
                "ann lee",
                "ann lee",
                " Ann  Lee ",
                "ANN LEE",
                "annlee",
                "\uff21nn\u3000lee",
                "ann\u00a0lee",
                "",
            )
        ],
    ),
    "retention list": Command("", reads=ASKS),
    "retention segments": Command("--from --to camera", reads=ASKS),
    "retention explain": Command("--at --camera segment", reads=ASKS),
    "retention clock confirm": Command(
        "--by", [("--by", name) for name in ("ann lee", "ann lee", "ANN  LEE", "\uff21nn lee", "")]
    ),
    "retention plan": Command("--add-camera", reads=ASKS),
    "law explain": Command("--camera --topic", reads=ASKS),
    "law check": Command("pack", [("PACK",)]),
    "ledger head": Command("", reads=ASKS),
    "ledger verify": Command("--key --mirror", reads=ASKS),
    "ledger prove": Command("--out --segment", reads=ASKS),
    "ledger consistency": Command("--key --old-key checkpoint", reads="asks for a proof"),
    "prove day": Command("--camera --date --out --stream", reads="asks for a proof"),
    "archive rebuild": Command(
        "--config --dry-run --old-key",
        [
            ("--config", "CONFIG"),
            ("--config", "CONFIG", "--dry-run"),
            ("--config", "CONFIG", "--old-key", "PACK"),  # no key at all
        ],
    ),
    "archive scrub": Command(
        "--camera --date --segment", [("--segment", "SEGMENT"), ("--camera", "cam-b", "--date", "2026-11-01")]
    ),
}

FORCE = {"force": True, "keep_days": 0, "keep_until": "2020-01-01T00:00:00+08:00", "reason": "x"}
# By method and path: the bodies it is tried with; none where it is only read.
ROUTES: dict[tuple[str, str], Sequence[dict[str, Any]]] = {
    ("GET", "/metrics"): (),
    ("GET", "/v1/status"): (),
    ("GET", "/v1/cameras"): (),
    ("POST", "/v1/cameras/{camera}/{act}"): ({"by": "ann"}, {"by": "ann", **FORCE}),
    ("GET", "/v1/cameras/{camera}/coverage"): (),
    ("POST", "/v1/discover"): ({}, FORCE),
    ("GET", "/v1/outages"): (),
    ("GET", "/v1/outages/{outage}"): (),
    ("POST", "/v1/outages/{outage}/report"): ({"to": "repair_unit", "received_by": "ann"},),
    ("POST", "/v1/outages/{outage}/attended"): ({"by": "ann"},),
    ("POST", "/v1/outages/{outage}/restored"): ({"by": "ann"},),
    ("GET", "/v1/holds"): (),
    ("POST", "/v1/holds"): (
        {"from": "2030-01-01T00:00:00+08:00", "to": "2030-01-02T00:00:00+08:00", "case": "c", "authority": "a"}
        | {"document": "d", "by": "ann", "cameras": ["cam-a"]},
        {"id": "hold-1", "from": "2030-01-01T00:00:00+08:00", "case": "c", "authority": "a", "document": "d"}
        | {"by": "ann", "cameras": []},
    ),
    ("POST", "/v1/holds/{hold}/extend"): (
        {"document": "d", "by": "ann", "to": "2026-11-01T00:00:00+08:00"},
        {"document": "d", "by": "ann", "from": "2030-01-01T00:00:00+08:00", "cameras": ["cam-b"]},
        {"document": "d", "by": "ann", "open": False, "cameras": []},
    ),
    ("POST", "/v1/holds/{hold}/release"): (
        {"by": "ann"},
        {"by": "Ann "},
        {"by": ["ann", "bob"]},
        {"by": "ann", "second": "bob"},
        {"by": ""},
    ),
    ("GET", "/v1/retention"): (),
    ("POST", "/v1/retention/clock/confirm"): (
        {"by": "ann"},
        {"by": "ANN"},
        {"by": "ann", "at": "2036-01-01T00:00:00Z"},
    ),
    ("GET", "/v1/retention/explain"): (),
    ("GET", "/v1/retention/plan"): (),
    ("GET", "/v1/segments"): (),
    ("GET", "/v1/law/explain"): (),
    ("GET", "/v1/ledger"): (),
    ("GET", "/v1/ledger/verify"): (),
    ("GET", "/v1/ledger/proof"): (),
    ("POST", "/v1/ledger/consistency"): ({"checkpoint": "x"},),
    ("POST", "/v1/proofs/day"): ({"camera": "cam-b", "date": "2026-11-01"},),
    ("GET", "/v1/scrub"): (),
    ("POST", "/v1/scrub"): ({"camera": "cam-b", "date": "2026-11-01"}, {"segment": "../../x"}),
}


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Every command that can be called, with its options besides those that all have."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, child in group.choices.items():
            yield from commands(child, (*words, name))
    if not groups:
        own = {action.option_strings[-1] if action.option_strings else action.dest for action in parser._actions}
        yield " ".join(words), own - {"--help", "--json", "--socket"}


def test_every_command_and_option_stands_in_the_table() -> None:
    assert dict(commands(build_parser())) == {name: set(each.options.split()) for name, each in COMMANDS.items()}
    assert all(bool(each.tries) != bool(each.reads) for each in COMMANDS.values())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def young_and_held(box: Box) -> tuple[str, SegmentKey, SegmentKey]:
    """A hold over the first of two segments, both far below their floor."""
    held, young = await box.record("cam-a"), await box.record("cam-b")
    hold = await box.hold("cam-a", held.start_us)
    box.world.clock.advance(YOUNG_DAYS * 86_400)
    await box.sweep()
    return hold, held, young


async def still_kept(box: Box, hold: str, held: SegmentKey, young: SegmentKey) -> None:
    """Nothing went, and 20 days later nothing goes either; years later only what is not held."""
    assert (await box.sweep()).erased == 0
    (row,) = await box.sql("SELECT released_us, start_us, end_us FROM hold WHERE id = ?", hold)
    assert row["released_us"] is None
    assert (row["start_us"] <= held.start_us, row["end_us"]) == (True, None)
    for key in (held, young):
        kept = await box.row(key)
        assert kept is not None
        assert kept.keep_until_us >= key.start_us + 30 * DAY
        assert box.file(key).exists()
    box.world.clock.advance(20 * 86_400)
    assert (await box.sweep()).erased == 0
    box.world.clock.advance(400 * 86_400)
    await box.sweep()
    assert box.file(held).exists(), "I2"
    assert await box.row(held) is not None
    assert not box.file(young).exists(), "the sweep works: nothing else kept the footage"


async def call(world: World, words: Sequence[str], put: dict[str, str]) -> int:
    """Run one command, with the placeholders of the table filled in; its exit code."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = await asyncio.to_thread(main, [put.get(word, word) for word in words])
    assert code in (0, 1, 2, 4), said.getvalue()
    return code


@pytest.mark.parametrize("name", [name for name, each in COMMANDS.items() if each.tries])
async def test_i1_i2_no_command_shortens_what_is_kept(world: World, name: str) -> None:
    """Beside a controller that runs."""
    async with world.box() as box:
        hold, held, young = await young_and_held(box)
        await box.house.proofs.finish()  # the ledger's copies follow, or a rebuild would miss what they lack
        pack = world.folder / "pack.toml"
        pack.write_text('[pack]\nid = "none"\n')
        put = {"HOLD": hold, "PACK": str(pack), "CONFIG": str(world.folder / "edged.toml"), "SEGMENT": str(young)}
        alone = name in ("law check", "archive rebuild")
        socket = () if alone else ("--socket", str(world.folder / "run" / "api.sock"))
        with only_instance(world.folder / "state" / "controller.lock"):
            for words in COMMANDS[name].tries:
                code = await call(world, [*name.split(), *words, *socket], put)
                assert name != "archive rebuild" or code == (0 if "--dry-run" in words else 4)
        await still_kept(box, hold, held, young)


@pytest.mark.parametrize("forgotten", ["nothing", "the index", "the index and every copy of the ledger"])
async def test_i1_i2_a_rebuild_shortens_nothing(world: World, forgotten: str) -> None:
    """While no controller runs, twice over; what the index knew comes back from the volumes."""
    async with world.box() as box:
        hold, held, young = await young_and_held(box)
        await box.house.evidence.keep_step()
        await box.house.proofs.finish()
    state = world.folder / "state"
    if forgotten != "nothing":
        for file in state.glob("index.sqlite3*"):
            file.unlink()
    if forgotten == "the index and every copy of the ledger":
        shutil.rmtree(world.folder / "v1" / "ledger")
    for _ in range(2):
        await call(world, ["archive", "rebuild", "--config", "CONFIG"], {"CONFIG": str(world.folder / "edged.toml")})
    async with world.box() as box:
        await still_kept(box, hold, held, young)


async def test_i2_a_rebuild_forgets_nothing_that_the_index_alone_knows(world: World) -> None:
    """Its ledger reaches further than any copy: it is sound, and nobody puts it aside."""
    async with world.box() as box:
        hold, held, young = await young_and_held(box)
        await box.house.proofs.finish()
    shutil.rmtree(world.folder / "v1" / "ledger")
    config = {"CONFIG": str(world.folder / "edged.toml")}
    index = world.folder / "state" / "index.sqlite3"
    assert await call(world, ["archive", "rebuild", "--config", "CONFIG"], config) == 4
    assert index.exists()
    assert not list(index.parent.glob("index.sqlite3.before-*"))
    async with world.box() as box:
        await still_kept(box, hold, held, young)


async def test_a_rebuild_from_a_disk_that_cannot_be_written_leaves_the_index_where_it_is(world: World) -> None:
    """It would be put aside for one that knows no segment at all."""
    mount = f"mount --bind {world.folder}/v1 {world.folder}/v1 && mount -o remount,ro,bind {world.folder}/v1"
    alone = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    async with world.box() as box:
        await young_and_held(box)
        await box.house.proofs.finish()
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False).returncode != 0:
        pytest.skip("needs root and mount namespaces")
    config = world.folder / "edged.toml"
    command = [*alone, sys.executable, "-m", "edged", "archive", "rebuild", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert "no volume can be read (v1: the folder cannot be written" in done.stderr
    assert not list((world.folder / "state").glob("index.sqlite3.before-*"))


async def test_i1_i2_no_route_shortens_what_is_kept(world: World) -> None:
    """Every route of both listeners, each with its bodies, and with the methods that would change or delete."""
    async with world.box() as box:
        hold, held, young = await young_and_held(box)
        apps = [runner.app for runner in box.house.api._runners]
        paths = {
            (route.method, route.resource.canonical.replace("{act:adopt|remove}", "{act}"))
            for app in apps
            for route in app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
        assert paths == set(ROUTES)
        connector = aiohttp.UnixConnector(path=str(world.folder / "run" / "api.sock"))
        async with aiohttp.ClientSession(connector=connector, base_url="http://edged") as session:
            for (method, path), bodies in ROUTES.items():
                for camera, act in (("cam-a", "adopt"), ("cam-a", "remove"), ("cam-b", "remove"), ("cam-b", "adopt")):
                    at = path.format(camera=camera, act=act, hold=hold, outage="out-1")
                    for other in ("DELETE", "PUT", "PATCH"):
                        async with session.request(other, at, json=FORCE) as answer:
                            assert answer.status in (404, 405), (other, at)
                    for body in bodies:
                        async with session.request(method, at, json=body) as answer:
                            assert answer.status < 500, (at, body, await answer.text())
        await still_kept(box, hold, held, young)


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "ERASE")
# In the place of an id: others' ids, several, none, ways out of the path, statements.
TRICKS = (
    *("cam-a", "cam-b", "cam-a,cam-b", "*", "%2A", "", "..", "%2e%2e", "..%2fcam-a", "cam-a%2f..%2fcam-b", "cam-a%00"),
    *(
        "cam-a/../cam-b",
        "cam-a;x=1",
        "cam-a%20OR%201=1",
        "';DELETE%20FROM%20segment;--",
        "%25",
        "%F0%9F%8E%A5",
        "a" * 4000,
    ),
)


def filled(path: str, trick: str) -> str:
    """A route's path with `trick` in the place of every id."""
    return re.sub(r"{\w+}", trick, path.replace("{act}", "remove"))


QUERY = "camera=cam-a&segment=..%2f&at=0&force=1&delete=1&by=ann&limit=-1"


async def test_i1_i2_no_path_method_or_query_shortens_what_is_kept(world: World) -> None:
    """Every route of the route table with every method and every trick in the place of its ids, on both listeners."""
    async with world.box() as box:
        hold, held, young = await young_and_held(box)
        socket = aiohttp.UnixConnector(path=str(world.folder / "run" / "api.sock"))
        port = int((world.folder / "run" / "metrics.port").read_text())
        changed = {(method, path) for method, path in ROUTES if method == "POST"}
        answered = set()
        for connector, base in ((socket, "http://edged"), (aiohttp.TCPConnector(), f"http://127.0.0.1:{port}")):
            async with aiohttp.ClientSession(connector=connector) as session:
                for path in sorted({path for _, path in ROUTES}):
                    for trick in TRICKS if "{" in path else ("",):
                        at = URL(f"{base}{filled(path, trick)}?{QUERY}", encoded=True)
                        for method in METHODS:
                            async with session.request(method, at, json=FORCE) as answer:
                                assert answer.status < 500, (method, at)
                                if answer.status < 300 and method not in ("GET", "HEAD", "OPTIONS"):
                                    answered.add((method, path))
        assert answered <= changed, "no other method or route does anything"
        await still_kept(box, hold, held, young)
