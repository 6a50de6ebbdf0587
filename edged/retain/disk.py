"""The files of a volume: is it there, how full is it, unlink. Everything blocking runs on the volume's own thread."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edged.archive.foreign import foreign_ledger
from edged.archive.volumes import Space, Volume, prove
from edged.base.files import sync_folder
from edged.base.immutable import is_immutable
from edged.base.worker import Worker


@dataclass(frozen=True, slots=True)
class SweptVolume:
    """A volume, the thread that is its own, and the free bytes below which footage past its floor may go."""

    volume: Volume
    worker: Worker
    reserve_bytes: int


@dataclass(slots=True)
class Unlinked:
    """What became of a list of files: gone for certain (also after a power cut), or still there and why."""

    gone: set[PurePosixPath] = field(default_factory=set)
    failed: dict[PurePosixPath, str] = field(default_factory=dict)


async def look(swept: SweptVolume, space: Callable[[Path], Space | None]) -> tuple[str, Space | None]:
    """Why nothing may be deleted on the volume ("" where it may), and its space."""

    def ask() -> tuple[str, Space | None]:
        reason = prove(swept.volume)
        found = None if reason else space(swept.volume.path)
        return reason or ("" if found else "its free space cannot be read: nothing is deleted on a guess"), found

    return await swept.worker.run(ask)


async def foreign(swept: SweptVolume, first_line: bytes) -> str:
    """Why nothing may be deleted on the volume, where it holds another ledger than the one that begins so; else ""."""
    other = await swept.worker.run(foreign_ledger, swept.volume.path, first_line)
    if other is None:
        return ""
    return (
        f"it holds the ledger of recorder {other}, which tells how long its footage is kept; a box of that id with a"
        f" new state_dir takes it over. Move ledger/{other} away only once all that it wrote may go"
    )


async def still_there(swept: SweptVolume, files: Sequence[PurePosixPath]) -> set[PurePosixPath]:
    """Which of `files` exist on the volume; none where its identity is not proven."""

    def ask() -> set[PurePosixPath]:
        if prove(swept.volume):
            return set()
        return {file for file in files if (swept.volume.path / file).exists()}

    return await swept.worker.run(ask)


async def unlink(swept: SweptVolume, files: Sequence[PurePosixPath], stop_asked: Callable[[], bool]) -> Unlinked:
    """Unlink `files`, one after the other until `stop_asked`, then make that durable folder by folder.

    A file that is not there counts as gone: that is what a crash between unlinking and forgetting leaves. What was not
    reached is in neither set. The identity is asked again first: the disk may have been changed since the last look.
    """
    return await swept.worker.run(_unlink, swept.volume, files, stop_asked)


def _unlink(volume: Volume, files: Sequence[PurePosixPath], stop_asked: Callable[[], bool]) -> Unlinked:
    done = Unlinked()
    reason = prove(volume)
    if reason:
        done.failed = dict.fromkeys(files, reason)
        return done
    for file in files:
        if stop_asked():
            break
        try:
            os.unlink(volume.path / file)
        except FileNotFoundError:
            done.gone.add(file)
        except OSError as error:
            done.failed[file] = _why(volume.path / file, error)
        else:
            done.gone.add(file)
    for folder in sorted({file.parent for file in done.gone}):
        try:
            sync_folder(volume.path / folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            for file in [file for file in done.gone if file.parent == folder]:
                done.gone.remove(file)
                done.failed[file] = f"its folder cannot be synced ({error.strerror})"
    return done


def _why(file: Path, error: OSError) -> str:
    # Never cleared here: a deletion that should not be must meet it. A released hold's is cleared within seconds.
    with contextlib.suppress(OSError):
        if isinstance(error, PermissionError) and is_immutable(file):
            return "it is immutable, as held evidence is until its holds are released"
    return error.strerror or type(error).__name__
