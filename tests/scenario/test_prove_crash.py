"""I7: SIGKILL between an act's commit and its copy on the volume, at any moment: no entry is lost, no copy differs."""

import select
import signal
import subprocess
import sys
from pathlib import Path

from edged.archive.database import Database
from edged.archive.ledger import lines
from edged.archive.volumes import open_volumes
from edged.base.clock import SystemClock
from edged.prove.key import open_key
from edged.prove.mirror import Mirror
from edged.prove.offline import check_mirror
from edged.prove.restore import contradictions, restore_ledger
from tests.proving import ORIGIN

KILLS = 10
# Appends as fast as it can while its copy follows, and says each number once it is committed.
CHILD = """
import asyncio, sys
from pathlib import Path
from edged.archive.database import Database
from edged.archive.ledger import LedgerKind, append
from edged.archive.volumes import open_volumes
from edged.base.clock import SystemClock
from edged.prove.checkpoints import sign_head
from edged.prove.key import open_key
from edged.prove.mirror import Mirror

async def main():
    root = Path(sys.argv[1])
    index = Database(root / "index.db")
    (volume,) = await index.write(open_volumes, [("disk", root / "disk")], 1)
    key = open_key(root, sys.argv[2])
    mirror = Mirror(index, SystemClock(), volume, "nvr", key)
    async def follow():
        while True:
            await mirror.catch_up()
            await index.write(sign_head, key, 1)
    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        while True:
            seq = await index.write(append, 1, LedgerKind.CLOCK_EVENT, {"filling": "x" * 200})
            print(seq, flush=True)

asyncio.run(main())
"""


def kill_while_appending(root: Path, cwd: Path, entries: int) -> int:
    """Start, kill after so many further entries; returns the last number that was said to be committed."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), ORIGIN], cwd=cwd, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        for _ in range(entries):
            ready, _, _ = select.select([child.stdout], [], [], 60)
            assert ready, "the child appended nothing within a minute"
            assert child.stdout.readline()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(30)
    said = [int(line) for line in child.stdout.read().split("\n")[:-1]]
    child.stdout.close()
    return said[-1] if said else 0


async def test_i7_killed_between_commit_and_copy(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    copy = tmp_path / "disk" / "ledger" / "nvr"
    torn = 0
    for number in range(KILLS):
        committed = kill_while_appending(tmp_path, root, 3 + 7 * number)
        database = Database(tmp_path / "index.db")
        key = open_key(tmp_path, ORIGIN)
        folders = [("disk", tmp_path / "disk")]
        told = await database.read(lines, 0, 10**6)
        assert len(told) >= committed, "what was committed is there"
        file = copy / "000000000001.ndjson"
        content = file.read_bytes() if file.exists() else b""
        whole = b"".join(line + b"\n" for line in told)
        assert whole.startswith(content), "the copy never runs ahead of the commit, and never differs"
        torn += content != whole
        assert await restore_ledger(database, folders, "nvr", key, 1) is None
        assert await contradictions(database, folders, "nvr", [key.public]) == []
        (volume,) = await database.write(open_volumes, folders, 1)
        mirror = Mirror(database, SystemClock(), volume, "nvr", key)
        await mirror.catch_up()
        mirror.close()
        assert file.read_bytes() == whole
        assert check_mirror(copy, key.pem.encode()).damage == []
        database.close()
    assert torn, "the kills did hit the time between commit and copy"
