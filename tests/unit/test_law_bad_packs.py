"""A bad rule pack is refused with file, line, key and reason: by the loader and by `edged law check` alike."""

import re
from pathlib import Path

import pytest

from edged.cli import main
from edged.law.packs import BadPack, check_pack, load_packs

HEAD = """[pack]
jurisdiction = "national"
title = "Nowhere"
[instrument.rule]
title = "Nowhere"
title_zh = "无"
issuer = "无"
rank = "city_rule"
status = "in_force"
valid_from = 2020-01-01
[[article]]
instrument = "rule"
no = "1"
text_zh = '''
第一条 图像保存
二十日。'''
[[entry]]
id = "national/1"
instrument = "rule"
article = "1(2)"
scope = { place = ["listed"] }
text_zh = "图像保存二十日"
"""
# What follows the head makes an entry of each kind.
KINDS = {
    "retention_min": 'kind = "retention_min"\nvalue = 20\nunit = "day"\ncounting = "local_civil_days"\n',
    "retention_delete": 'kind = "retention_delete"\nvalue = 20\nunit = "day"\ncounting = "local_civil_days"\n',
    "basis": 'kind = "basis"\n',
    "report": 'kind = "report"\nvalue = 1\nunit = "hour"\ncounting = "from_last_good_frame"\n',
    "attendance": 'kind = "attendance"\nvalue = 2\nunit = "hour"\ncounting = "from_receipt_of_report"\n',
    "retrieval": 'kind = "retrieval"\nvalue = 2\nunit = "person"\ncounting = "of_the_requesting_body"\n'
    '[entry.retrieval]\nrequesters = ["police"]\nmodes = ["view"]\n',
    "register": 'kind = "register"\n[entry.register]\nfields = ["reason"]\n',
    "filing": 'kind = "filing"\nvalue = 30\nunit = "day"\ncounting = "from_use"\n'
    '[entry.filing]\noccasion = "new"\noffice = "county_police"\npapers = ["unit"]\n',
    "removal": 'kind = "removal"\nvalue = 7\nunit = "day"\ncounting = "before_removal"\n'
    '[entry.removal]\noffice = "county_police"\n',
    "forbidden": 'kind = "forbidden"\n[entry.forbidden]\nareas = ["toilets"]\n',
}


def written(folder: Path, text: str, name: str = "national") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(text, encoding="utf-8")
    return file


def pack_text(jurisdiction: str = "national", kind: str = "retention_min") -> str:
    return HEAD.replace("national", jurisdiction) + KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_of_each_kind_is_good_as_it_stands_here(tmp_path: Path, kind: str) -> None:
    (entry,) = check_pack(written(tmp_path, pack_text(kind=kind))).entries
    assert entry.kind == kind
    assert entry.demand


@pytest.mark.parametrize(
    ("kind", "old", "new", "key", "reason"),
    [
        # any entry
        ("retention_min", "value = 20", "valeu = 20", "entry[0].valeu", "unknown key"),
        (
            "retention_min",
            '["listed"]',
            '["listed"], designations = ["key"]',
            "entry[0].scope.designations[0]",
            "Input",
        ),
        ("retention_min", '["listed"]', '["listed"], flags = ["key_target"]', "entry[0].scope.flags", "unknown key"),
        ("retention_min", '["listed"]', '["anywhere"]', "entry[0].scope.place[0]", "Input should be"),
        ("retention_min", '["listed"]', "[]", "entry[0].scope.place", "at least 1"),
        ("retention_min", 'kind = "retention_min"', 'kind = "retained"', "entry[0].kind", "Input should be"),
        ("retention_min", 'article = "1(2)"', 'article = "2"', "entry[0].article", "no [[article]] 2 of rule"),
        ("retention_min", '"图像保存二十日"', '"图像保存十日"', "entry[0].text_zh", "do not stand in art. 1 of rule"),
        ("retention_min", '"图像保存二十日"', '""', "entry[0].text_zh", "at least 1 character"),
        ("retention_min", 'entry]]\nid = "national/1"\n', "entry]]\n", "entry[0].id", "Field required"),
        ("retention_min", 'id = "national/1"', 'id = "edged/default-30"', "entry[0].id", "are not for rule packs"),
        ("retention_min", 'id = "national/1"', 'id = "operator/1"', "entry[0].id", "are not for rule packs"),
        # numbers
        ("retention_min", 'unit = "day"', 'unit = "hour"', "entry[0]", "is counted in unit day"),
        ("retention_min", '"local_civil_days"', '"from_use"', "entry[0]", "counting local_civil_days"),
        ("retention_min", "value = 20\n", "", "entry[0]", "needs a value"),
        ("retention_min", "value = 20", "value = 0", "entry[0].value", "greater than or equal to 1"),
        ("retention_min", "value = 20", "value = 20.5", "entry[0].value", "valid integer"),
        ("retention_delete", 'unit = "day"\n', "", "entry[0]", "is counted in unit day"),
        ("basis", 'kind = "basis"', 'kind = "basis"\nvalue = 1', "entry[0]", "kind basis has no value"),
        ("report", '"from_last_good_frame"', '"from_receipt_of_report"', "entry[0]", "counting from_last_good_frame"),
        ("attendance", 'unit = "hour"', 'unit = "day"', "entry[0]", "is counted in unit hour"),
        # instruments and articles
        (
            "basis",
            'instrument = "rule"\narticle',
            'instrument = "rul"\narticle',
            "entry[0].instrument",
            "[instrument.rul]",
        ),
        ("basis", 'instrument = "rule"\nno', 'instrument = "rul"\nno', "article[0].instrument", "[instrument.rul]"),
        ("basis", "valid_from = 2020-01-01\n", "", "instrument.rule", "needs valid_from"),
        ("basis", "2020-01-01", "2020-01-01\nvalid_to = 2019-01-01", "instrument.rule", "before valid_from"),
        ("basis", 'rank = "city_rule"', 'rank = "draft"', "instrument.rule", "a draft is not in force"),
        ("basis", 'rank = "city_rule"', 'rank = "order"', "instrument.rule.rank", "Input should be"),
        ("basis", 'status = "in_force"', 'status = "forced"', "instrument.rule.status", "Input should be"),
        (
            "basis",
            "[[entry]]",
            '[[article]]\ninstrument = "rule"\nno = "1"\ntext_zh = "一"\n[[entry]]',
            "article[1].no",
            "already",
        ),
        # retrieval
        (
            "retrieval",
            '[entry.retrieval]\nrequesters = ["police"]\nmodes = ["view"]\n',
            "",
            "entry[0]",
            "needs the table",
        ),
        ("retrieval", '["police"]', '["neighbour"]', "entry[0].retrieval.requesters[0]", "Input should be"),
        ("retrieval", '["police"]', "[]", "entry[0].retrieval.requesters", "at least 1"),
        ("retrieval", '["view"]', '["photograph"]', "entry[0].retrieval.modes[0]", "Input should be"),
        ("retrieval", 'modes = ["view"]', "", "entry[0].retrieval.modes", "Field required"),
        ("retrieval", '["view"]', '["view"]\ndocuments = ["smile"]', "entry[0].retrieval.documents[0]", "Input"),
        ("retrieval", '["view"]', '["view"]\napproved_by = "me"', "entry[0].retrieval.approved_by", "Input should be"),
        ("retrieval", 'unit = "person"', 'unit = "day"', "entry[0]", "is counted in unit person"),
        ("retrieval", "value = 2\n", "", "entry[0]", "without a value has neither unit nor counting"),
        # register
        ("register", '["reason"]', '["mood"]', "entry[0].register.fields[0]", "Input should be"),
        ("register", '[entry.register]\nfields = ["reason"]\n', "", "entry[0]", "needs the table [entry.register]"),
        ("register", "[entry.register]", "value = 1\n[entry.register]", "entry[0]", "kind register has no value"),
        # filing
        ("filing", '"from_use"', '"from_commencement"', "entry[0]", "how the days of an existing system count"),
        ("filing", '"from_use"', '"before_removal"', "entry[0]", "from_use or from_acceptance or from_commencement"),
        ("filing", '"county_police"', '"neighbour"', "entry[0].filing.office", "Input should be"),
        ("filing", '["unit"]', '["poem"]', "entry[0].filing.papers[0]", "Input should be"),
        ("filing", '"new"', '"sometimes"', "entry[0].filing.occasion", "Input should be"),
        # removal
        ("removal", '"before_removal"', '"from_use"', "entry[0]", "before_removal or after_removal"),
        ("removal", 'office = "county_police"\n', "", "entry[0]", "both its days and an office"),
        (
            "removal",
            'value = 7\nunit = "day"\ncounting = "before_removal"\n',
            "",
            "entry[0]",
            "both its days and an office",
        ),
        # forbidden
        ("forbidden", '["toilets"]', '["roof"]', "entry[0].forbidden.areas[0]", "Input should be"),
        ("forbidden", '["toilets"]', "[]", "entry[0].forbidden.areas", "at least 1"),
        ("forbidden", 'kind = "forbidden"', 'kind = "basis"', "entry[0]", "the table forbidden is for kind forbidden"),
    ],
)
def test_a_bad_pack_is_refused_with_file_line_key_and_reason(
    tmp_path: Path, kind: str, old: str, new: str, key: str, reason: str
) -> None:
    good = pack_text(kind=kind)
    assert old in good
    file = written(tmp_path, good.replace(old, new, 1))
    with pytest.raises(BadPack) as refused:
        load_packs(tmp_path)
    assert reason in str(refused.value)
    where, _, rest = str(refused.value).partition(f": {key}: ")
    path, _, line = where.rpartition(":")
    assert rest
    assert path == str(file)
    stands = file.read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert stands.startswith("[") or stands in new or new in stands
    with pytest.raises(BadPack, match=re.escape(str(refused.value).splitlines()[0])):
        check_pack(file)


def test_every_problem_of_a_pack_is_told_with_its_line_and_an_instruments_only_once(tmp_path: Path) -> None:
    bad = pack_text().replace("value = 20", "value = 0").replace('status = "in_force"', 'status = "forced"')
    with pytest.raises(BadPack) as refused:
        check_pack(written(tmp_path, bad))
    told = str(refused.value).partition(";")[0].splitlines()
    assert len(told) == 2
    assert ":9: instrument.rule.status: " in told[0]
    assert ":24: entry[0].value: " in told[1]


def test_two_packs_cannot_share_an_entry_id(tmp_path: Path) -> None:
    written(tmp_path, pack_text())
    written(tmp_path, pack_text("nowhere").replace('id = "nowhere/1"', 'id = "national/1"'), "nowhere")
    with pytest.raises(BadPack, match=r"nowhere.toml: entry\[0\].id: national/1 is used already in national.toml"):
        load_packs(tmp_path)


def test_an_id_used_twice_in_one_pack_is_refused_at_the_second(tmp_path: Path) -> None:
    entry = pack_text().partition("[[entry]]")
    with pytest.raises(BadPack, match=r"national.toml:28: entry\[1\].id: national/1 is used already above"):
        check_pack(written(tmp_path, pack_text() + entry[1] + entry[2]))


def test_a_folder_without_national_law_is_refused(tmp_path: Path) -> None:
    written(tmp_path, pack_text("nowhere"), "nowhere")
    with pytest.raises(BadPack, match=r"there is no national\.toml"):
        load_packs(tmp_path)


def test_a_pack_is_named_like_its_file(tmp_path: Path) -> None:
    written(tmp_path, pack_text())
    written(tmp_path, pack_text("nowhere"), "somewhere")
    with pytest.raises(BadPack, match=r"somewhere.toml:2: pack.jurisdiction: is nowhere, but the file is named somew"):
        load_packs(tmp_path)


@pytest.mark.parametrize("content", [b"pack = [", b"\xff\xfe"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "national.toml").write_bytes(content)
    with pytest.raises(BadPack, match=r"national\.toml: is not TOML"):
        load_packs(tmp_path)


def test_the_command_checks_a_pack_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, pack_text("mine", "retrieval"), "mine")
    written(tmp_path, pack_text("wrong").replace("value = 20", "value = 0"), "wrong")
    assert main(["law", "check", str(tmp_path / "mine.toml")]) == 0
    assert "mine/1" in (out := capsys.readouterr().out)
    assert "at least 2 persons of the requesting body" in out
    assert main(["law", "check", str(tmp_path / "wrong.toml")]) == 2
    assert "wrong.toml:24: entry[0].value: " in capsys.readouterr().err
    assert main(["law", "check", str(tmp_path / "absent.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
