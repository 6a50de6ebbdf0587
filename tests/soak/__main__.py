"""`make soak`: 64 cameras for 20 minutes, or as asked. The figures are one JSON object on standard output."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path

from tests.soak.kept import load, save
from tests.soak.run import Options, soak
from tests.soak.verdict import judge


async def main() -> int:
    """Exit code 0 where all is well, 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--cameras", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two faults, about (default 3)")
    parser.add_argument("--segment", type=float, default=20.0, help="seconds (default 20)")
    parser.add_argument("--keep", type=Path, help="folder to record into, which is kept (default: one that is removed)")
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="judge once more what was kept in FOLDER")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    options = Options(
        cameras=asked.cameras,
        seconds=asked.minutes * 60,
        seed=asked.seed,
        every_s=asked.every,
        segment_seconds=asked.segment,
    )
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        where = asked.judge or asked.keep or Path(folder)
        if asked.judge is None:
            where.mkdir(exist_ok=True, parents=True)
            save(await soak(where, options), where)
        report = await judge(load(where))
    print(json.dumps(report.as_json(), indent=1))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
