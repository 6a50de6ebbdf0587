"""A recorder that tells what it uses: ``python -m tests.soak.watched STATE RUNTIME``, until SIGTERM.

One JSON line a second on standard output: memory, file descriptors, threads, tasks by name.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from edged.base.clock import SystemClock
from edged.record.process import run_recorder
from tests.recorder_kit import RECORDER

PERIOD_S = 1.0


def sample() -> dict[str, object]:
    """What this process uses now; memory in KiB."""
    memory = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return {
        "at_s": time.monotonic(),
        "pss_kib": int(memory["Pss"].split()[0]),
        "private_kib": int(memory["Private_Dirty"].split()[0]),
        "blocks": sys.getallocatedblocks(),
        "fds": len(os.listdir("/proc/self/fd")) - 1,  # without the one it is read by
        "threads": threading.active_count(),
        "tasks": sorted(task.get_name() for task in asyncio.all_tasks()),
    }


async def tell_for_ever() -> None:
    """A line now and then every second."""
    while True:
        print(json.dumps(sample()), flush=True)
        await asyncio.sleep(PERIOD_S)


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    teller = asyncio.create_task(tell_for_ever(), name="teller")
    try:
        await run_recorder(RECORDER, Path(sys.argv[1]), Path(sys.argv[2]), SystemClock(), stop)
    finally:
        teller.cancel()
    left = [task.get_name() for task in asyncio.all_tasks() if task not in (asyncio.current_task(), teller)]
    print(json.dumps({"left": left}), flush=True)


if __name__ == "__main__":
    os.environ.pop("NOTIFY_SOCKET", None)
    asyncio.run(main())
