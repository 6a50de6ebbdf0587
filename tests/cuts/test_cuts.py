"""I1–I3, I7: SIGKILL, or no power, between any two steps of an act; the next start comes to an end it may have.

Some of the cuts of each act here, chosen by EDGED_CUT_SEED; every one where EDGED_DEEP is set. `python -m tests.cuts`
is the same by hand.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuts.acts import ACTS
from tests.cuts.campaign import chosen
from tests.cuts.reins import Step, missing
from tests.powercut import powered as powercut

DEEP = bool(os.environ.get("EDGED_DEEP"))
SEED = os.environ.get("EDGED_CUT_SEED", "1")
# What may be half written when the power goes, and matters most: evidence, deletions and the ledger.
POWERED = [name for name in ACTS if DEEP or name in ("place a hold", "release a hold", "sweep", "log, sign and copy")]


def cut(root: Path, act: str, most: int, *options: str) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.cuts",
        act,
        "--most",
        str(10**6 if DEEP else most),
        "--seed",
        SEED,
        *options,
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    cuts = [line for line in done.stdout.splitlines() if line.endswith(": well")]
    assert len(cuts) >= 4, "the act has steps, and was cut at them"


@pytest.mark.skipif(bool(missing()), reason=f"nothing can be cut: {missing()}")
@pytest.mark.parametrize("act", ACTS)
def test_i7_killed_anywhere_the_next_start_puts_it_right(act: str, root: Path) -> None:
    cut(root, act, 6)


@pytest.mark.skipif(bool(missing()), reason=f"nothing can be cut: {missing()}")
def test_a_killed_process_leaves_what_the_photograph_before_its_next_step_shows(root: Path) -> None:
    """What a cut is looked at for is only as good as this."""
    cut(root, "release a hold", 8, "--kill")


@pytest.mark.skipif(bool(powercut.missing()), reason=f"no file system to cut the power of: {powercut.missing()}")
@pytest.mark.parametrize("act", [name for name in POWERED if ACTS[name].durable])
def test_i7_without_power_anywhere_the_next_start_puts_it_right(act: str, root: Path) -> None:
    cut(root, act, 6, "--power")


def test_the_first_and_last_of_a_row_of_writes_are_chosen_before_the_others() -> None:
    steps = [Step("pwrite", "wal")] * 10 + [Step("fdatasync", "wal"), Step("unlink", "a")]
    assert chosen(steps, 4, 1) == [1, 10, 11, 12]
    assert chosen(steps, 100, 1) == list(range(1, 13))
    assert len(chosen(steps, 6, 1)) == 6
    assert chosen(steps, 6, 1) == chosen(steps, 6, 1)
    assert set(chosen(steps, 3, 2)) < {1, 10, 11, 12}
