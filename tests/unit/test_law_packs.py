"""The shipped rule packs say what the texts say: numbers, articles, who binds whom, and each in its own words."""

import datetime as dt
import tomllib
from pathlib import Path

import pytest

from edged.cli.law import TOPICS
from edged.law.entry import Entry, Kind, Rank, Status, Topic
from edged.law.packs import load_packs, shipped_packs

ON = dt.date(2026, 11, 22)


def test_the_shipped_packs_are_those_of_the_five_texts_and_the_nation() -> None:
    packs = load_packs(shipped_packs())
    assert packs.jurisdictions() == ["changzhou", "jilin", "lhasa", "national", "tangshan", "weihai"]


@pytest.mark.parametrize(
    ("jurisdiction", "article", "status", "days"),
    [
        ("national", "17", Status.IN_FORCE, 30),
        ("jilin", "21(2)", Status.IN_FORCE, 15),
        ("lhasa", "32", Status.IN_FORCE, 30),
        ("weihai", "21(7)", Status.LAPSED, 30),
        ("changzhou", "18(7)", Status.DRAFT, 30),
    ],
)
def test_each_minimum_names_its_article_and_quotes_it(
    jurisdiction: str, article: str, status: Status, days: int
) -> None:
    entries = load_packs(shipped_packs()).entries(jurisdiction)
    whose = "order-799" if jurisdiction == "national" else jurisdiction
    own = [e for e in entries if e.kind is Kind.RETENTION_MIN and e.id.startswith(whose)]
    assert [(e.article, e.instrument.status, e.value) for e in own] == [(article, status, days)]
    assert any(number in own[0].text_zh for number in (str(days), "三十"))


def test_tangshan_names_no_number_of_days_and_its_trial_ends_in_2027() -> None:
    own = [e for e in load_packs(shipped_packs()).entries("tangshan") if e.id.startswith("tangshan")]
    assert [e.kind for e in own if e.kind in Topic.RETENTION.kinds] == [Kind.BASIS]
    assert {(e.instrument.status, e.instrument.valid_to) for e in own} == {(Status.TRIAL, dt.date(2027, 4, 30))}


def test_an_entry_binds_from_its_first_to_its_last_day() -> None:
    (trial,) = [e for e in load_packs(shipped_packs()).entries("tangshan") if e.kind is Kind.BASIS]
    assert trial.not_binding_because(dt.date(2025, 4, 29)) == "it is not in force before 2025-04-30"
    assert trial.not_binding_because(dt.date(2025, 4, 30)) is None
    assert trial.not_binding_because(dt.date(2027, 4, 30)) is None
    assert trial.not_binding_because(dt.date(2027, 5, 1)) == "its validity ended on 2027-04-30"


def test_a_draft_in_rank_or_status_never_binds() -> None:
    drafts = [e for e in load_packs(shipped_packs()).entries("changzhou") if e.instrument.rank is Rank.DRAFT]
    assert {e.kind for e in drafts} >= {Kind.RETENTION_MIN, Kind.REPORT, Kind.ATTENDANCE, Kind.RETRIEVAL}
    assert {e.not_binding_because(ON) for e in drafts} == {"it is a draft, not in force"}


@pytest.mark.parametrize(
    ("article", "designation", "rank", "days", "number"),
    [
        ("32", "key_target", Rank.LAW, 90, "九十"),
        ("25", "guard_service", Rank.ADMIN_REG, 30, "30"),
        ("15", "entertainment", Rank.ADMIN_REG, 30, "30"),
    ],
)
def test_the_nation_wants_more_kept_of_what_is_designated(
    article: str, designation: str, rank: Rank, days: int, number: str
) -> None:
    national = load_packs(shipped_packs()).entries("national")
    (one,) = [e for e in national if designation in e.scope.designations and e.kind is Kind.RETENTION_MIN]
    assert (one.article, one.instrument.rank, one.value) == (article, rank, days)
    assert one.instrument.status is Status.IN_FORCE
    assert one.scope.place == ("listed", "other")
    assert number in one.text_zh


@pytest.mark.parametrize("jurisdiction", ["changzhou", "jilin", "lhasa", "tangshan", "weihai"])
def test_every_jurisdiction_tells_of_retrieval_register_and_forbidden_areas(jurisdiction: str) -> None:
    entries = load_packs(shipped_packs()).entries(jurisdiction)
    own = {e.kind for e in entries if e.id.startswith(jurisdiction)}
    assert own >= {Kind.RETRIEVAL, Kind.REGISTER, Kind.FORBIDDEN}
    # Weihai's text has neither a filing nor a notice of removal.
    assert (own >= {Kind.FILING, Kind.REMOVAL}) == (jurisdiction != "weihai")


def find(entry_id: str) -> Entry:
    entry = load_packs(shipped_packs()).find(entry_id)
    assert entry is not None
    return entry


@pytest.mark.parametrize(
    ("entry_id", "persons", "documents", "approver"),
    [
        ("order-799/20", None, ("lawful_authority",), None),
        ("tangshan-2025-29/26", None, ("lawful_authority",), None),
        ("changzhou-2013-draft/22", 2, ("work_id", "approval"), None),
        ("changzhou-2013-draft/21-police", None, ("police_certificate",), None),
        ("changzhou-2013-draft/21-other", None, ("approval",), "county_police"),
        ("lhasa-72/28", 2, ("work_id", "unit_letter"), None),
        ("weihai-2014-34/26", 2, ("work_id",), None),
        ("weihai-2014-34/25-copy", None, ("approval",), "county_police"),
        ("jilin-236/28", 2, ("work_id", "approval"), None),
        ("jilin-236/25-copy", None, ("approval",), "county_judicial_organ"),
    ],
)
def test_how_many_come_with_which_papers_and_whose_consent(
    entry_id: str, persons: int | None, documents: tuple[str, ...], approver: str | None
) -> None:
    entry = find(entry_id)
    assert entry.retrieval is not None
    assert (entry.value, entry.retrieval.documents, entry.retrieval.approved_by) == (persons, documents, approver)


@pytest.mark.parametrize("entry_id", ["order-799/21", "lhasa-72/29"])
def test_relatives_may_view_and_nothing_else(entry_id: str) -> None:
    retrieval = find(entry_id).retrieval
    assert retrieval is not None
    assert "relatives" in retrieval.requesters
    assert retrieval.modes == ("view",)


@pytest.mark.parametrize(
    ("entry_id", "days", "counting"),
    [
        ("order-799/14", 30, "from_use"),
        ("order-799/14-existing", 90, "from_commencement"),
        ("tangshan-2025-29/22", 30, "from_use"),
        ("changzhou-2013-draft/15-existing", 60, "from_commencement"),
        ("changzhou-2013-draft/15-removal", 30, "after_removal"),
        ("lhasa-72/16", 30, "from_acceptance"),
        ("lhasa-72/16-existing", 60, "from_commencement"),
        ("lhasa-72/18", 15, "before_removal"),
        ("jilin-236/17", 30, "from_acceptance"),
        ("jilin-236/18", 7, "before_removal"),
    ],
)
def test_the_days_of_filing_and_of_removal_and_from_where_they_count(entry_id: str, days: int, counting: str) -> None:
    entry = find(entry_id)
    assert (entry.value, entry.unit, entry.counting) == (days, "day", counting)


def test_the_register_is_what_each_text_asks_for() -> None:
    fields = {
        "order-799/16-2-3": ("reason", "content", "unit", "name"),
        "tangshan-2025-29/27-3": ("reason", "content", "unit", "name"),
        "jilin-236/21-3": ("recording_person", "retrieving_person", "time", "purpose", "destination"),
        "changzhou-2013-draft/18-1": (),
    }
    for entry_id, wanted in fields.items():
        register = find(entry_id).register_
        assert register is not None
        assert register.fields == wanted


@pytest.mark.parametrize("file", sorted(shipped_packs().glob("*.toml")), ids=lambda file: file.stem)
def test_every_quotation_stands_in_the_article_it_is_from(file: Path) -> None:
    """Asked of the raw file, apart from the loader that refuses such a pack."""
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    quoted = {(a["instrument"], a["no"]): "".join(a["text_zh"].split()) for a in raw["article"]}
    for entry in raw["entry"]:
        article = quoted[entry["instrument"], entry["article"].partition("(")[0]]
        assert "".join(entry["text_zh"].split()) in article, entry["id"]
    used = {(e["instrument"], e["article"].partition("(")[0]) for e in raw["entry"]}
    assert used == set(quoted), "an article is quoted that no entry is from"


@pytest.mark.parametrize("topic", list(Topic))
def test_each_entry_belongs_to_one_topic(topic: Topic) -> None:
    assert [kind for other in Topic if other is not topic for kind in other.kinds if kind in topic.kinds] == []
    assert {kind for each in Topic for kind in each.kinds} == set(Kind)


def test_the_command_offers_the_topics_there_are() -> None:
    assert tuple(Topic) == TOPICS
