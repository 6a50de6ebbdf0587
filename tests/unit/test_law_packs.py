"""Rule packs: what is shipped says what the texts say, and what is malformed is refused with file, key and reason."""

import datetime as dt
import re
from pathlib import Path

import pytest

from edged.cli import main
from edged.law.packs import BadPack, Kind, Rank, Status, check_pack, load_packs, shipped_packs

ON = dt.date(2026, 11, 22)


def pack_text(jurisdiction: str = "national") -> str:
    return (
        f'[pack]\njurisdiction = "{jurisdiction}"\ntitle = "Nowhere"\n'
        f'[[entry]]\nid = "{jurisdiction}/1"\ntitle = "Nowhere"\n'
        'title_zh = "无"\nissuer = "无"\narticle = "1"\nrank = "city_rule"\nstatus = "in_force"\n'
        'valid_from = 2020-01-01\nscope = { place = ["listed"] }\nkind = "retention_min"\nvalue = 20\nunit = "day"\n'
        'counting = "local_civil_days"\ntext_zh = "无"\n'
    )


def folder_with(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


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
    assert [(e.article, e.status, e.value) for e in own] == [(article, status, days)]
    assert any(number in own[0].text_zh for number in (str(days), "三十"))


def test_tangshan_names_no_number_and_its_trial_ends_in_2027() -> None:
    entries = [e for e in load_packs(shipped_packs()).entries("tangshan") if e.id.startswith("tangshan")]
    assert [(e.kind, e.status, e.valid_to, e.value) for e in entries] == [
        (Kind.BASIS, Status.TRIAL, dt.date(2027, 4, 30), None)
    ]


def test_an_entry_binds_from_its_first_to_its_last_day() -> None:
    (trial,) = [e for e in load_packs(shipped_packs()).entries("tangshan") if e.id.startswith("tangshan")]
    assert trial.not_binding_because(dt.date(2025, 4, 29)) == "it is not in force before 2025-04-30"
    assert trial.not_binding_because(dt.date(2025, 4, 30)) is None
    assert trial.not_binding_because(dt.date(2027, 4, 30)) is None
    assert trial.not_binding_because(dt.date(2027, 5, 1)) == "its validity ended on 2027-04-30"


def test_a_draft_in_rank_or_status_never_binds() -> None:
    drafts = [e for e in load_packs(shipped_packs()).entries("changzhou") if e.rank is Rank.DRAFT]
    assert len(drafts) == 3
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
    designated = [e for e in load_packs(shipped_packs()).entries("national") if designation in e.scope.designations]
    (one,) = designated
    assert (one.article, one.rank, one.value, one.status) == (article, rank, days, Status.IN_FORCE)
    assert one.scope.place == ("listed", "other")
    assert number in one.text_zh


@pytest.mark.parametrize(
    ("old", "new", "key", "reason"),
    [
        ("value = 20", "valeu = 20", "entry[0].valeu", "unknown key"),
        (
            'place = ["listed"]',
            'place = ["listed"], designations = ["key"]',
            "entry[0].scope.designations[0]",
            "Input should be",
        ),
        ('place = ["listed"]', 'place = ["listed"], flags = ["key_target"]', "entry[0].scope.flags", "unknown key"),
        ('place = ["listed"]', 'place = ["anywhere"]', "entry[0].scope.place[0]", "Input should be"),
        ('place = ["listed"]', "place = []", "entry[0].scope.place", "at least 1"),
        ('unit = "day"', 'unit = "hour"', "entry[0]", "is counted in unit day"),
        ("value = 20\n", "", "entry[0]", "needs a value"),
        ("value = 20", "value = 0", "entry[0].value", "greater than or equal to 1"),
        ("value = 20", "value = 20.5", "entry[0].value", "valid integer"),
        ("valid_from = 2020-01-01\n", "", "entry[0]", "needs valid_from"),
        ("valid_from = 2020-01-01", "valid_from = 2020-01-01\nvalid_to = 2019-01-01", "entry[0]", "before valid_from"),
        ('rank = "city_rule"', 'rank = "draft"', "entry[0]", "a draft is not in force"),
        ('status = "in_force"', 'status = "forced"', "entry[0].status", "Input should be"),
        ('text_zh = "无"', 'text_zh = ""', "entry[0].text_zh", "at least 1 character"),
    ],
)
def test_a_bad_pack_is_refused_with_file_key_and_reason(
    tmp_path: Path, old: str, new: str, key: str, reason: str
) -> None:
    good = pack_text()
    assert old in good
    folder = folder_with(tmp_path, national=good.replace(old, new, 1))
    with pytest.raises(BadPack) as refused:
        load_packs(folder)
    assert reason in str(refused.value)
    where, _, rest = str(refused.value).partition(f": {key}: ")
    file, _, line = where.rpartition(":")
    assert rest
    assert file == str(folder / "national.toml")
    written = (folder / "national.toml").read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert written == "[[entry]]" or written in new or new in written
    with pytest.raises(BadPack, match=re.escape(str(refused.value).splitlines()[0])):
        check_pack(folder / "national.toml")


def test_the_unaltered_text_of_these_tests_is_a_good_pack(tmp_path: Path) -> None:
    assert load_packs(folder_with(tmp_path, national=pack_text())).known("national")


def test_two_packs_cannot_share_an_entry_id(tmp_path: Path) -> None:
    other = pack_text("nowhere").replace('id = "nowhere/1"', 'id = "national/1"')
    with pytest.raises(BadPack, match=r"nowhere.toml: entry\[0\].id: national/1 is used already in national.toml"):
        load_packs(folder_with(tmp_path, national=pack_text(), nowhere=other))


def test_a_folder_without_national_law_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPack, match=r"there is no national\.toml"):
        load_packs(folder_with(tmp_path, nowhere=pack_text("nowhere")))


def test_a_pack_is_named_like_its_file(tmp_path: Path) -> None:
    with pytest.raises(BadPack, match="is nowhere, but the file is named somewhere"):
        load_packs(folder_with(tmp_path, national=pack_text(), somewhere=pack_text("nowhere")))


@pytest.mark.parametrize("content", [b"pack = [", b"\xff\xfe"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "national.toml").write_bytes(content)
    with pytest.raises(BadPack, match=r"national\.toml: is not TOML"):
        load_packs(tmp_path)


def test_every_problem_of_a_pack_is_told_with_its_line(tmp_path: Path) -> None:
    bad = pack_text().replace("value = 20", "value = 0").replace('status = "in_force"', 'status = "forced"')
    with pytest.raises(BadPack) as refused:
        check_pack(folder_with(tmp_path, national=bad) / "national.toml")
    told = str(refused.value).splitlines()[:2]
    assert [":11: entry[0].status: " in told[0], ":15: entry[0].value: " in told[1]] == [True, True]


def test_an_id_used_twice_in_one_pack_is_refused_at_the_second(tmp_path: Path) -> None:
    twice = pack_text() + pack_text().partition("[[entry]]")[1] + pack_text().partition("[[entry]]")[2]
    with pytest.raises(BadPack, match=r"national.toml:20: entry\[1\].id: national/1 is used already above"):
        check_pack(folder_with(tmp_path, national=twice) / "national.toml")


def test_the_command_checks_a_pack_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_with(tmp_path, mine=pack_text("mine"), wrong=pack_text("wrong").replace("value = 20", "value = 0"))
    assert main(["law", "check", str(folder / "mine.toml")]) == 0
    assert "mine/1" in capsys.readouterr().out
    assert main(["law", "check", str(folder / "wrong.toml")]) == 2
    assert "wrong.toml:15: entry[0].value: " in capsys.readouterr().err
    assert main(["law", "check", str(folder / "absent.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
