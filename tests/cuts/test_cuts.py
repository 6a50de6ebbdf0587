"""I1–I3, I7: SIGKILL between any two system calls of an act; the next start comes to one of the ends it may have.

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

DEEP = bool(os.environ.get("EDGED_DEEP"))
MOST = 10**6 if DEEP else 6
SEED = os.environ.get("EDGED_CUT_SEED", "1")


@pytest.mark.skipif(bool(missing()), reason=f"nothing can be cut: {missing()}")
@pytest.mark.parametrize("act", ACTS)
def test_i7_cut_anywhere_the_next_start_puts_it_right(act: str, root: Path) -> None:
    command = [sys.executable, "-m", "tests.cuts", act, "--most", str(MOST), "--seed", SEED]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    cuts = [line for line in done.stdout.splitlines() if line.endswith(": well")]
    assert len(cuts) >= 4, "the act has steps, and was cut at them"


def test_the_first_and_last_of_a_row_of_writes_are_chosen_before_the_others() -> None:
    steps = [Step("pwrite", "wal")] * 10 + [Step("fdatasync", "wal"), Step("unlink", "a")]
    assert chosen(steps, 4, 1) == [1, 10, 11, 12]
    assert chosen(steps, 100, 1) == list(range(1, 13))
    assert len(chosen(steps, 6, 1)) == 6
    assert chosen(steps, 6, 1) == chosen(steps, 6, 1)
    assert set(chosen(steps, 3, 2)) < {1, 10, 11, 12}
