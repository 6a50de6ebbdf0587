"""Cut the acts of edged at their system calls, and say what the next start made of each cut.

python -m tests.cuts [ACT ...] [--most N] [--seed N] [--quiet]
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.cuts.acts import ACTS
from tests.cuts.campaign import Campaign, chosen
from tests.cuts.reins import missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("acts", nargs="*", metavar="ACT", help=f"one of: {', '.join(ACTS)}; default all")
    parser.add_argument("--most", type=int, default=10**6, help="at most so many cuts of each act (default: every one)")
    parser.add_argument("--seed", type=int, default=1, help="which cuts are chosen where not all are made")
    parser.add_argument("--quiet", action="store_true", help="say only what is wrong")
    options = parser.parse_args()
    unknown = set(options.acts) - set(ACTS)
    if unknown:
        parser.error(f"no such act: {', '.join(sorted(unknown))}")
    if why := missing():
        print(f"nothing can be cut here: {why}")
        return 2
    logging.disable(logging.CRITICAL)  # what a start says of the mess it finds
    wrong = 0
    for name in options.acts or ACTS:
        with tempfile.TemporaryDirectory() as folder:
            wrong += cut(name, Path(os.path.realpath(folder)), options.most, options.seed, options.quiet)
    return 1 if wrong else 0


def cut(name: str, folder: Path, most: int, seed: int, quiet: bool) -> int:
    """Cut one act; returns how many cuts ended badly."""
    began = time.monotonic()
    campaign = Campaign(name, folder)
    faults = campaign.begin()
    for fault in faults:
        print(f"{name}: {fault}")
    done = bad = 0
    for each in campaign.cuts(chosen(campaign.steps, most, seed)):
        done += 1
        bad += bool(each.wrong)
        if each.wrong or not quiet:
            print(f"{name}: {each}", flush=True)
    spent = time.monotonic() - began
    print(f"{name}: {len(campaign.steps)} steps, {done} cuts, {bad} wrong, {spent:.0f} s", flush=True)
    return bad + len(faults)


if __name__ == "__main__":
    sys.exit(main())
