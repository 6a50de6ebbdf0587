"""What people may enter about an outage, what is refused, and what is said of it outside (I9)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edged.base.clock import SECOND
from edged.base.errors import Refused
from edged.outage import view
from edged.outage.entries import AlreadyEntered, BadEntry, NotGoodYet, UnknownOutage
from edged.report.messages import clean, topic_allowed
from tests.outage_site import Site

SITE = ZoneInfo("Asia/Shanghai")
NAMES = {"repair_unit": "mending team", "superior_department": "department above"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = await Site(tmp_path).open(["cam-a", "cam-b"])
    yield site
    site.database.close()


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_requests_that_cannot_be_true_are_refused_and_change_nothing(site: Site) -> None:
    outage = (await site.lose_one()).outage
    before = (await site.desk.show(outage.id), await site.ledger(), await site.messages())
    future, past = site.clock.wall_us() + SECOND, outage.t0_us - 1
    desk = site.desk
    for request, error, says in (
        (desk.report("none-such", "repair_unit", "person"), UnknownOutage, "no outage 'none-such'"),
        (desk.attended("none-such", "person"), UnknownOutage, "list --all"),
        (desk.restored("none-such", "person"), UnknownOutage, "no outage"),
        (desk.report(outage.id, "press", "person"), BadEntry, "repair_unit, superior_department"),
        (desk.report(outage.id, "repair_unit", "  "), BadEntry, "name of a person"),
        (desk.report(outage.id, "repair_unit", "x" * 101), BadEntry, "100"),
        (desk.report(outage.id, "repair_unit", "a\x1b[2Jb"), BadEntry, "printable"),
        (desk.report(outage.id, "repair_unit", "person", future), BadEntry, "future"),
        (desk.report(outage.id, "repair_unit", "person", past), BadEntry, "before"),
        (desk.attended(outage.id, "\t"), BadEntry, "name of a person"),
        (desk.attended(outage.id, "person", future), BadEntry, "future"),
        (desk.restored(outage.id, ""), BadEntry, "name of a person"),
        (desk.restored(outage.id, "person"), NotGoodYet, "has not delivered"),
    ):
        with pytest.raises(error) as refused:
            await request
        assert says in str(refused.value)
        assert isinstance(refused.value, Refused)
    assert (await desk.show(outage.id), await site.ledger(), await site.messages()) == before


async def test_everything_is_entered_once(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.report(outage.id, "repair_unit", "person one")
    with pytest.raises(AlreadyEntered):
        await site.desk.report(outage.id, "repair_unit", "person two")
    await site.desk.attended(outage.id, "person one")
    with pytest.raises(AlreadyEntered):
        await site.desk.attended(outage.id, "person two")
    site.bring_back()
    await site.second(15)
    await site.desk.restored(outage.id, "person one")
    with pytest.raises(AlreadyEntered):
        await site.desk.restored(outage.id, "person two")


# --- what is said ---------------------------------------------------------------------------------------------------


async def test_i9_messages_say_only_what_may_be_said(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.report(outage.id, "repair_unit", "person one")
    await site.desk.report(outage.id, "superior_department", "person one")
    await site.desk.attended(outage.id, "person one")
    await site.second(2)
    site.bring_back()
    await site.second(15)
    await site.desk.restored(outage.id, "person one")
    messages = await site.messages()
    assert [m["event"] for m in messages] == [
        "opened",
        "report_received",
        "reported",
        "attended",
        "good",
        "closed",
        "restored",
    ]
    topic = f"outage/{outage.id}"
    assert topic_allowed(topic)
    for message in messages:
        said, left_out = clean(topic, message)
        assert left_out == []
        assert said == message
        assert "person" not in json.dumps(message)
        assert "test" not in json.dumps(message)  # nor the basis, which may name a city


async def test_the_document_is_json_and_tells_everything(site: Site) -> None:
    outage = (await site.lose_one()).outage
    await site.desk.report(outage.id, "repair_unit", "person one")
    incident, history = await site.desk.show(outage.id)
    told = view.document(incident, SITE, NAMES, history)
    assert json.loads(json.dumps(told)) == told
    assert told["report"]["due"] == view.civil(outage.report_due_us, SITE)
    assert told["report"]["met"] is None
    assert (told["report"]["basis"], told["attendance"]["basis"]) == ("article of a test", "contract of a test")
    assert told["report"]["to"]["repair_unit"]["by"] == "person one"
    assert {to: duty["name"] for to, duty in told["report"]["to"].items()} == NAMES
    assert told["report"]["standing"] == "pending"
    assert told["attendance"]["seconds_left"] == 7200
    assert told["detected_after_s"] == pytest.approx(8.5, abs=0.6)
    assert [step["event"] for step in told["history"]] == ["opened", "report_received"]
    assert view.civil(1_790_000_000_123_456, SITE) == "2026-09-21T22:13:20.123+08:00"
