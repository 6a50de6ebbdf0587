"""The archive at the size of a large site: `python -m tests.bench.archive`, one JSON line a figure.

256 cameras, a segment a minute, 30 days: eleven million rows. Made once a day and kept in --cache; what is measured is
a copy of it. See README.md for the method.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
from pathlib import Path

from tests.bench import archive_controller, archive_made, archive_questions, archive_sweep, ledger
from tests.bench.figures import check_space, figure, note
from tests.bench.processes import end_in_order

SEGMENTS = 11_000_000
TEMP = Path(tempfile.gettempdir())


def main() -> int:
    """Run everything; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=SEGMENTS, help="rows of the index, in whole days")
    parser.add_argument("--leaves", type=int, default=ledger.LEAVES, help="entries of the ledger that is proved from")
    parser.add_argument("--cache", type=Path, default=TEMP, help="where the made index is kept")
    parser.add_argument("--folder", type=Path, default=TEMP, help="where to put what is measured meanwhile")
    arguments = parser.parse_args()
    end_in_order()
    gc.collect()
    gc.freeze()  # as edged/app/run.py does
    for folder in {arguments.cache, arguments.folder}:
        folder.mkdir(parents=True, exist_ok=True)
        check_space(folder, archive_made.bytes_needed(arguments.segments) + ledger.bytes_needed(arguments.leaves))
    made = archive_made.made(arguments.cache, arguments.segments)
    met = [figure("archive_segments", made.segments, "segments"), *_size(made)]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        note("copying it")
        box = archive_made.copy_of(made, Path(folder) / "box")
        met += archive_controller.start(box, Path(folder) / "run")
        met += asyncio.run(archive_questions.ask(box))
        met += asyncio.run(archive_sweep.sweep(box))
    met += ledger.run(arguments.folder, arguments.leaves)
    return 0 if all(met) else 1


def _size(made: archive_made.Made) -> list[bool]:
    """The whole file, and what of it is the ledger."""
    index, told = archive_made.sizes(made)
    return [
        figure("archive_index_size", index / made.segments, "bytes/segment", 150),
        figure("archive_ledger_size", told / made.segments, "bytes/segment"),
    ]


if __name__ == "__main__":
    sys.exit(main())
