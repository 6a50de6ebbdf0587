"""The boundaries of the law about retention, one by one: real index, files, sweep, API and command line.

Numbered as in the requirements' list of boundary tests. Holds, the ledger and what must not exist are in
test_law_boundaries_holds. What the other numbers are about, and where it is proved, stands in ELSEWHERE below.
"""

from pathlib import Path

import pytest

from tests.law_box import CAMERAS, World, shanghai

# Numbers that no test here or in test_law_boundaries_holds has, with the reason or where it is proved.
ELSEWHERE = {
    16: "outage reports: tests/unit/test_outage_desk.py, one report for each of two addressees",
    17: "outage attendance from the receipt: tests/unit/test_outage_duties.py",
    18: "an outage dated back to the last heartbeat: tests/scenario/test_outage_restart.py",
    19: "retrieval with one requester: nothing hands footage out yet; the packs say how many (test_law_packs.py)",
    20: "viewing and copying in Weihai: nothing hands footage out yet; the packs say which papers",
    21: "whose approval a court needs in Jilin: nothing hands footage out yet; the packs say whose",
    22: "viewing for a lost child: nothing shows footage yet; the packs say viewing alone",
    23: "a recipient abroad: nothing hands footage out yet; jilin-236/22-6 says what it needs",
    24: "a camera turned away: edged does not look at pictures",
    25: "leaves growing over a camera: edged does not look at pictures",
    26: "earliest day of a removal: nothing plans removals yet; the packs say how many days (test_law_packs.py)",
    27: "a filing that no longer fits: nothing keeps filings yet; the packs say what is filed",
    28: "nothing confidential over MQTT: tests/contract/test_mqtt_brokers.py and tests/unit/test_report_messages.py",
}
OTHER = CAMERAS.replace('id = "cam-a"', 'id = "cam-a"\nplace = "other"')


@pytest.fixture
def world(tmp_path: Path) -> World:
    """2026-11-01 08:00 in Shanghai, in Jilin, at a listed place."""
    return World(tmp_path)


async def test_law_12_01_a_floor_of_thirty_days_ends_with_the_thirtieth_days_midnight(world: World) -> None:
    """I1: last frame on day D at 23:59:59: refused on D+30 at 23:59:59, allowed on D+31 at 00:00:00."""
    async with world.box('[retention]\ngrace = "0d"\n' + CAMERAS) as box:
        world.wait_until(shanghai(11, 1, 23, 59, 59))
        key = await box.record()
        assert (await box.sweep_at(shanghai(12, 1, 23, 59, 59))).erased == 0
        (told,) = (await box.asked("retention", "explain", str(key)))["explanations"]
        assert told["because"] == "below its floor of 30 days under order-799/17"
        assert told["keep_until"] == "2026-12-02T00:00:00+08:00"
        assert (await box.sweep_at(shanghai(12, 2))).erased == 1
        assert not box.file(key).exists()
