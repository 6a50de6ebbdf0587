"""I5 on a real file: the controller is killed with SIGKILL again and again while feeds come and go.

Whatever it told anyone is in the index, every outage keeps its beginning and its deadline, none is opened twice, and
the next controller goes on from there.
"""

import asyncio
import json
import sys
from pathlib import Path

from edged.outage.duties import Outage
from tests.outage_site import Site
from tests.scenario.outage_victim import CAMERAS


async def told_until_killed(root: Path, folder: Path, wall_us: int, seed: int, changes: int) -> list[list[object]]:
    """Run the victim until it has told `changes` changes, kill it; everything it told."""
    victim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.scenario.outage_victim", str(folder), str(wall_us), str(seed)),
        cwd=root,
        stdout=asyncio.subprocess.PIPE,
    )
    assert victim.stdout is not None
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(60):
            while len(lines) < changes:
                line = await victim.stdout.readline()
                assert line, "the victim ended by itself"
                lines.append(line)
    finally:
        victim.kill()
        rest, _ = await victim.communicate()
        lines += rest.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


async def test_i5_outages_survive_sigkill(root: Path, tmp_path: Path) -> None:
    site = await Site(tmp_path).open(CAMERAS)
    site.database.close()
    wall_us = site.clock.wall_us()
    beginnings: dict[str, tuple[object, object, object]] = {}
    for kill in range(4):
        told = await told_until_killed(root, tmp_path, wall_us, seed=kill, changes=10 + 7 * kill)
        wall_us = max(int(str(line[-1])) for line in told)
        for event, outage_id, camera, t0_us, due_us, _ in told:
            known = beginnings.setdefault(str(outage_id), (camera, t0_us, due_us))
            assert known == (camera, t0_us, due_us)
            assert event in ("opened", "good", "lost_again", "closed", "report_overdue")
        await site.crash()
        found = {o.outage.id: o.outage for o in await site.desk.incidents(open_only=False)}
        for outage_id, (camera, t0_us, due_us) in beginnings.items():
            outage = found[outage_id]
            assert (outage.camera, outage.t0_us, outage.report_due_us) == (camera, t0_us, due_us)
        for event, outage_id, *_ in told:
            assert event != "closed" or found[str(outage_id)].closed_us is not None
        await the_index_agrees(site, list(found.values()))
        site.database.close()
    assert len(beginnings) >= 4


async def the_index_agrees(site: Site, found: list[Outage]) -> None:
    """Rows, ledger entries and messages are of the same transactions: none without the others."""
    entries, messages = await site.ledger(), await site.messages()
    for kind, event, expected in (
        ("outage_opened", "opened", {o.id for o in found}),
        ("outage_closed", "closed", {o.id for o in found if o.closed_us is not None}),
    ):
        by_ledger = [entry.body["outage"] for entry in entries if entry.kind.value == kind]
        by_message = [str(message["outage"]) for message in messages if message["event"] == event]
        assert sorted(by_ledger) == sorted(by_message) == sorted(expected)
