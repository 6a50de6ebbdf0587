"""One step of the evidence in a process of its own, which kills itself before its n-th act on a file or in the index.

python -m tests.disks.evidence_step FOLDER N
"""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from edged.archive.database import Database
from edged.archive.volumes import open_volumes
from edged.base.clock import ManualClock
from edged.base.worker import Worker
from edged.retain.disk import SweptVolume
from edged.retain.evidence import Evidence
from tests.retaining import START_US

ACTS = {"link", "unlink", "ioctl", "fsync", "rmdir", "mkdir", "replace"}


async def step(folder: Path) -> None:
    database = Database(folder / "index.sqlite")
    [volume] = await database.write(open_volumes, [("disk-0", folder / "disk-0")], START_US)
    worker = Worker("disk-0")
    await Evidence(database, ManualClock(START_US), [SweptVolume(volume, worker, 0)], immutable=True).keep_step()
    worker.shutdown()
    database.close()


def die_at(number: int) -> None:
    left = number

    def watch(frame: FrameType, event: str, about: Any) -> None:
        nonlocal left
        acted = event == "c_call" and about.__name__ in ACTS
        if acted or (event == "call" and frame.f_code.co_name == "_done"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)


if __name__ == "__main__":
    die_at(int(sys.argv[2]))
    asyncio.run(step(Path(sys.argv[1])))
