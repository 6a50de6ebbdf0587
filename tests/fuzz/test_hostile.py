"""What a hostile camera, or a torn disk, sends costs that stream alone: no memory beyond its share, no time."""

import subprocess
import sys

import pytest

from tests.fuzz.hostile import CASES

PATIENCE_S = 300  # on a busy machine; the time that counts is the processor's, which the process itself is held to


@pytest.mark.parametrize("case", CASES)
def test_little_memory_is_enough(case: str) -> None:
    """In a process whose address space is limited: MemoryError there is a failure here."""
    command = [sys.executable, "-m", "tests.fuzz.hostile", case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(("taken", "refused: REC-026")), done.stdout
