"""Disks for tests: mounted where nobody else sees them, and gone with the process at the latest."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.base.immutable import set_immutable
from tests.disks.loop import LoopDisk, alone, missing


@functools.cache
def obstacle() -> str:
    """Why there are no loop disks here, "" where there are; asked once, in the mount namespace of the tests."""
    if problem := missing():
        return problem
    alone()
    return ""


def need_disks() -> None:
    """Skip where there are no loop disks."""
    if problem := obstacle():
        pytest.skip(f"no real disks: {problem}")


def need_immutable(folder: Path) -> None:
    """Skip where no file in `folder` can be made immutable."""
    probe = folder / "probe"
    probe.touch()
    try:
        set_immutable(probe, True)
    except OSError as error:
        pytest.skip(f"the immutable attribute cannot be set here ({error.strerror})")
    set_immutable(probe, False)
    probe.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    """96 MiB at <tmp_path>/v1."""
    need_disks()
    with LoopDisk(tmp_path, "v1") as disk:
        yield disk
