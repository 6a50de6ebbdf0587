"""The recorder as a child of a bare `edged run`: started, taken over after a controller crash, started again.

The child has a session of its own, so that whatever ends the controller, a signal to its whole group included, leaves
the recorder recording (I6). Its lock file says whether one is running; a controller that finds one takes it over.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable

from edged.base.clock import Clock
from edged.base.errors import TryAgain
from edged.config import Config
from edged.model import RecorderStatus
from edged.record.main import is_running

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
STOP_SECONDS = 20.0


class RecorderEnded(TryAgain):
    """The recorder process ended without being asked to."""

    code = "APP-010"


class RecorderChild:
    """Keeps one recorder running. `latest` gives its last status, for the process id of one taken over."""

    def __init__(
        self, config: Config, clock: Clock, log_level: str, latest: Callable[[], RecorderStatus | None]
    ) -> None:
        self._recorder = config.recorder
        self._clock = clock
        self._log_level = log_level
        self._latest = latest
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled; for `supervise`. Raises RecorderEnded."""
        if is_running(self._recorder.state_dir, self._recorder.id):
            log.info("taking over the recorder that is running")
            while is_running(self._recorder.state_dir, self._recorder.id):
                await self._clock.sleep(POLL_SECONDS)
            if self._stopping:
                return
            raise RecorderEnded("the recorder that was taken over has ended")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edged", "recorder", "--id", self._recorder.id),
            *("--state-dir", str(self._recorder.state_dir), "--runtime-dir", str(self._recorder.runtime_dir)),
            *("--log-level", self._log_level),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            # The controller's watchdog and readiness are its own affair.
            env={name: value for name, value in os.environ.items() if not name.startswith(("NOTIFY_", "WATCHDOG_"))},
        )
        code = await self._process.wait()
        self._process = None
        if self._stopping:
            return
        raise RecorderEnded(f"the recorder ended with exit code {code}")

    async def stop(self) -> None:
        """Ask the recorder to seal its segments and end; waits for it, but not for ever. It is not started again."""
        self._stopping = True
        status = self._latest()
        pid = self._process.pid if self._process is not None else status.pid if status is not None else None
        if pid is None or not is_running(self._recorder.state_dir, self._recorder.id):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while is_running(self._recorder.state_dir, self._recorder.id):
                    await self._clock.sleep(0.05)
                return
        log.error("the recorder did not end within %g s; it is left alone", STOP_SECONDS)
