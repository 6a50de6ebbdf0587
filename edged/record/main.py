"""`edged recorder` as a process: signals and exit codes."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from edged.base.clock import SystemClock
from edged.base.owner import become_owner
from edged.record.errors import StateUnusable
from edged.record.process import run_recorder

log = logging.getLogger(__name__)


def run_recorder_process(recorder_id: str, state_dir: Path, runtime_dir: Path, *, takeover: bool = False) -> int:
    """Record until SIGTERM or SIGINT; a second signal ends at once. Returns 0.

    SIGHUP starts a successor from what is installed now, which takes over from this process (`takeover`).

    Raises AlreadyRunning, StateUnusable.
    """
    successor = [
        *(sys.executable, "-m", "edged", "recorder", "--takeover", "--id", recorder_id),
        *("--state-dir", str(state_dir), "--runtime-dir", str(runtime_dir)),
        *("--log-level", logging.getLevelName(logging.getLogger().getEffectiveLevel()).lower()),
    ]
    try:
        become_owner(state_dir)
    except OSError as error:
        raise StateUnusable(f"root cannot go on as the owner of {state_dir}: {error.strerror}") from error
    asyncio.run(_serve(recorder_id, state_dir, runtime_dir, takeover, successor))
    return 0


async def _serve(recorder_id: str, state_dir: Path, runtime_dir: Path, takeover: bool, successor: list[str]) -> None:
    stop = asyncio.Event()
    asked = False

    def asked_to_stop() -> None:
        nonlocal asked
        if asked:
            log.warning("second signal: leaving at once; what is open is recovered at the next start")
            os._exit(130)
        asked = True
        stop.set()

    def asked_to_be_succeeded() -> None:
        log.info("starting a successor")
        # A plain child, which outlives this process. The service manager's watchdog is for whoever it calls the main
        # process, which the successor becomes.
        environment = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
        try:
            subprocess.Popen(successor, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        except OSError as error:
            log.error("a successor cannot be started: %s", error.strerror)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    loop.add_signal_handler(signal.SIGHUP, asked_to_be_succeeded)
    await run_recorder(recorder_id, state_dir, runtime_dir, SystemClock(), stop, takeover=takeover)
