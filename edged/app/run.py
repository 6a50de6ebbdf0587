"""`edged run` as a process: one instance, signals, exit codes."""

import asyncio
import fcntl
import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edged.app.house import live
from edged.base.clock import SystemClock
from edged.base.errors import EdgedError, Fatal
from edged.base.files import make_folder
from edged.base.owner import become_owner
from edged.config import Config

log = logging.getLogger(__name__)


class AlreadyRunning(Fatal):
    """A controller owns this state folder."""

    code = "APP-001"
    hint = "stop the other one, or give this one a state_dir of its own"


class FolderUnusable(Fatal):
    """A folder of the configuration cannot be created or written."""

    code = "APP-002"


def run_controller(config: Config, *, external_recorder: bool, log_level: str) -> int:
    """Run until SIGTERM or SIGINT; a second signal ends at once.

    Returns 0 after an orderly end, 1 where the process could not go on. Raises Fatal where it could not begin.
    """
    own_folders(config)
    with only_instance(config.recorder.state_dir / "controller.lock"):
        return asyncio.run(_serve(config, external_recorder, log_level))


def own_folders(config: Config) -> None:
    """Make the folders of a controller, and be their owner: see `become_owner`. Raises FolderUnusable."""
    recorder = config.recorder
    try:
        become_owner(recorder.state_dir, *(volume.path for volume in config.volume))
        for folder in (recorder.state_dir, recorder.runtime_dir):
            make_folder(folder)
    except OSError as error:
        raise _unusable(error) from error


@contextmanager
def only_instance(lock: Path) -> Iterator[None]:
    """Hold `lock` while inside; the kernel lets go of it however the process ends.

    Raises AlreadyRunning, FolderUnusable.
    """
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise _unusable(error) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another controller holds {lock}") from None
        yield
    finally:
        os.close(fd)


def _unusable(error: OSError) -> FolderUnusable:
    return FolderUnusable(
        f"{error.filename}: {error.strerror}",
        hint="correct state_dir or runtime_dir, or run it as their owner, or as root, who goes on as their owner",
    )


async def _serve(config: Config, external_recorder: bool, log_level: str) -> int:
    stop = asyncio.Event()

    def asked_to_stop() -> None:
        if stop.is_set():
            log.warning("second signal: leaving at once")
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    # What was loaded so far lives as long as the process; to look at it again takes the collector 25 ms, which everyone
    # waits for.
    gc.collect()
    gc.freeze()
    code = 0
    try:
        await live(config, SystemClock(), stop, external_recorder=external_recorder, log_level=log_level)
    except* EdgedError as failed:
        for error in _leaves(failed):
            log.critical("[%s] %s", getattr(error, "code", "EDG-000"), error)
        code = 1
    return code


def _leaves(group: BaseExceptionGroup[EdgedError]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
