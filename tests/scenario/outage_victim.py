"""A controller's outage desk on a real index, busy until it is killed: prints every change after it was told.

Started by test_outage_restart.py as ``python -m tests.scenario.outage_victim FOLDER WALL_US SEED``. Its clock runs as
fast as the machine allows; feeds are lost and come back by chance.
"""

import asyncio
import json
import logging
import random
import sys
from pathlib import Path

from edged.archive.database import Database
from edged.base.clock import ManualClock
from tests.outage_site import Feed, Site

CAMERAS = tuple(f"cam-{n}" for n in range(8))


async def main(folder: Path, wall_us: int, seed: int) -> None:
    site = Site(folder, clock=ManualClock(wall_us))
    site.database = Database(folder / "index.db")
    site.desk = site.new_desk()
    site.feeds = {camera: Feed(since_us=wall_us) for camera in CAMERAS}
    chance = random.Random(seed)
    while True:
        camera = chance.choice(CAMERAS)
        if site.feeds[camera].live:
            site.lose(camera)
        else:
            site.bring_back(camera)
        for change in await site.second(chance.randint(1, 15)):
            outage = change.incident.outage
            told = [change.event, outage.id, outage.camera, outage.t0_us, outage.report_due_us, site.clock.wall_us()]
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
