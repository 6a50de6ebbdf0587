"""The recorders as children of a bare `edged run`: started, taken over after a controller crash, started again.

A child has a session of its own, so that whatever ends the controller, a signal to its whole group included, leaves
the recorder recording (I6). Its lock file says whether one is running; a controller that finds one takes it over, and
where it is of another version has a successor take its streams over one by one.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from edged import __version__
from edged.app.dealing import MOST, process_ids
from edged.base.clock import Clock
from edged.base.errors import TryAgain
from edged.config import Config
from edged.config.records import RecorderConfig
from edged.model import RecorderStatus
from edged.record.lock import is_running, running_pid

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
STOP_SECONDS = 20.0


class RecorderEnded(TryAgain):
    """The recorder process ended without being asked to."""

    code = "APP-010"


def children(
    config: Config, clock: Clock, log_level: str, latest_of: Callable[[str], RecorderStatus | None]
) -> list["RecorderChild"]:
    """One for each configured process; and one to end each that still runs from when more were configured."""
    recorder = config.recorder
    made = []
    for number, process in enumerate(process_ids(recorder.id, MOST), start=1):
        surplus = number > recorder.processes
        if not surplus or is_running(recorder.state_dir, process):
            made.append(RecorderChild(process, recorder, clock, log_level, latest_of, surplus=surplus))
    return made


class RecorderChild:
    """Keeps the recorder process `id` running, or ends it where it is `surplus`. `latest_of` gives its last status."""

    def __init__(
        self,
        id: str,
        recorder: RecorderConfig,
        clock: Clock,
        log_level: str,
        latest_of: Callable[[str], RecorderStatus | None],
        *,
        surplus: bool = False,
    ) -> None:
        self.id = id
        self._recorder = recorder
        self._clock = clock
        self._log_level = log_level
        self._latest_of = latest_of
        self._surplus = surplus
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled; for `supervise`. Raises RecorderEnded."""
        if self._surplus:
            log.info("recorder %s is not configured any more and is ended", self.id)
            await self.stop()
            return
        if self._is_running():
            log.info("taking over recorder %s, which is running", self.id)
            await self._follow_running()
        else:
            await self._run_one()
        if not self._stopping:
            raise RecorderEnded(f"recorder {self.id} has ended")

    async def stop(self) -> None:
        """Ask the recorder to seal its segments and end; waits for it, but not for ever. It is not started again."""
        self._stopping = True
        pids = {running_pid(self._recorder.state_dir, self.id), self._process.pid if self._process else None}
        for pid in pids:
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while self._process is not None or self._is_running():
                    await self._clock.sleep(0.05)
                return
        log.error("recorder %s did not end within %g s; it is left alone", self.id, STOP_SECONDS)

    def _is_running(self) -> bool:
        return is_running(self._recorder.state_dir, self.id)

    async def _follow_running(self) -> None:
        """Until none is running any more. One of another version is succeeded, and then its successor is followed."""
        tried = False
        while self._is_running():
            status = self._latest_of(self.id)
            if tried or self._stopping or status is None or status.version == __version__:
                await self._clock.sleep(POLL_SECONDS)
                continue
            tried = True
            log.info("recorder %s is of version %s: this version takes over from it", self.id, status.version)
            await self._run_one("--takeover")

    async def _run_one(self, *options: str) -> None:
        """Start a process and wait until it ends."""
        self._process = self._spawn(options)
        while (code := self._process.poll()) is None:
            await self._clock.sleep(POLL_SECONDS / 5)
        self._process = None
        if not self._stopping:
            log.warning("recorder %s ended with exit code %d", self.id, code)

    def _spawn(self, options: Sequence[str]) -> subprocess.Popen[bytes]:
        # Not asyncio's, whose transport kills the process where it is collected while that runs (I6).
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "edged", "recorder", "--id", self.id, *options),
                *("--state-dir", str(self._recorder.state_dir), "--runtime-dir", str(self._recorder.runtime_dir)),
                *("--log-level", self._log_level),
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # The controller's watchdog and readiness are its own affair.
            env={name: value for name, value in os.environ.items() if not name.startswith(("NOTIFY_", "WATCHDOG_"))},
        )
