"""Cut the acts of edged at their system calls, and say what the next start made of each cut.

python -m tests.cuts [ACT ...] [--power | --kill] [--most N] [--seed N] [--quiet]
"""

import argparse
import itertools
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cuts import album
from tests.cuts.acts import ACTS
from tests.cuts.campaign import Campaign, Cut, chosen
from tests.cuts.reins import missing
from tests.powercut.powered import missing as powercut_missing

MEMORY = "/dev/shm"  # a kill forgets nothing of what was written, so no cut needs a real disk


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("acts", nargs="*", metavar="ACT", help=f"one of: {', '.join(ACTS)}; default all")
    parser.add_argument("--most", type=int, default=10**6, help="at most so many cuts of each act (default: every one)")
    parser.add_argument("--seed", type=int, default=1, help="which cuts are chosen where not all are made")
    parser.add_argument("--power", action="store_true", help="cut the power instead: what is not synced is forgotten")
    parser.add_argument(
        "--kill", action="store_true", help="really kill, run after run, instead of one photographed run"
    )
    parser.add_argument("--quiet", action="store_true", help="say only what is wrong")
    options = parser.parse_args()
    unknown = set(options.acts) - set(ACTS)
    if unknown:
        parser.error(f"no such act: {', '.join(sorted(unknown))}")
    if why := powercut_missing() if options.power else missing():
        print(f"nothing can be cut here: {why}")
        return 2
    logging.disable(logging.CRITICAL)  # what a start says of the mess it finds
    wrong = 0
    for name in options.acts or [name for name, act in ACTS.items() if act.durable or not options.power]:
        with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
            box = Path(os.path.realpath(folder)) / "cuts"
            box.mkdir()
            try:
                wrong += cut(name, box, options)
            finally:
                album.remove(box)  # immutable files are more than the folder's own removal takes
    return 1 if wrong else 0


def cut(name: str, folder: Path, options: argparse.Namespace) -> int:
    """Cut one act; returns how many cuts ended badly."""
    began = time.monotonic()
    cuts: Iterator[Cut]
    campaign = Campaign(name, folder)
    faults = campaign.begin()
    for fault in faults:
        print(f"{name}: {fault}")
    done = bad = 0
    if options.power:
        half = options.most // 2
        cuts = itertools.chain(
            campaign.power_cuts(options.most - half, options.seed, half_written=False),
            campaign.power_cuts(half, options.seed, half_written=True),
        )
    else:
        numbers = chosen(campaign.steps, options.most, options.seed)
        cuts = campaign.kills(numbers) if options.kill else campaign.cuts(numbers)
    for each in cuts:
        done += 1
        bad += bool(each.wrong)
        if each.wrong or not options.quiet:
            print(f"{name}: {each}", flush=True)
    spent = time.monotonic() - began
    print(
        f"{name}: {len(campaign.steps)} steps, {done} cuts, {campaign.recovered} unlike, {bad} wrong, {spent:.0f} s",
        flush=True,
    )
    return bad + len(faults)


if __name__ == "__main__":
    sys.exit(main())
