"""`edged recorder` as a process: signals and exit codes."""

import asyncio
import fcntl
import logging
import os
import signal
from pathlib import Path

from edged.base.clock import SystemClock
from edged.record.process import run_recorder

log = logging.getLogger(__name__)


def run_recorder_process(recorder_id: str, state_dir: Path, runtime_dir: Path) -> int:
    """Record until SIGTERM or SIGINT; a second signal ends at once. Returns 0.

    Raises AlreadyRunning, StateUnusable.
    """
    asyncio.run(_serve(recorder_id, state_dir, runtime_dir))
    return 0


def is_running(state_dir: Path, recorder_id: str) -> bool:
    """Whether a recorder process of this id is alive: it holds its lock as long as it lives. Raises OSError."""
    try:
        fd = os.open(state_dir / f"recorder-{recorder_id}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


async def _serve(recorder_id: str, state_dir: Path, runtime_dir: Path) -> None:
    stop = asyncio.Event()

    def asked_to_stop() -> None:
        if stop.is_set():
            log.warning("second signal: leaving at once; what is open is recovered at the next start")
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    await run_recorder(recorder_id, state_dir, runtime_dir, SystemClock(), stop)
