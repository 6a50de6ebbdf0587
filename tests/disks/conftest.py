"""Disks for tests: mounted where nobody else sees them, and gone with the process at the latest."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    """96 MiB at <tmp_path>/v1."""
    need_disks()
    with LoopDisk(tmp_path, "v1") as disk:
        yield disk
