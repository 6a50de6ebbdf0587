"""A rule's id as a person reads it: the article in its own words, or whose rule it is."""

import pytest

from edged.law.cited import cite, names
from edged.law.floor import DEFAULT_RULE, OWN_KEEP_RULE, OWN_MINIMUM_RULE
from edged.law.packs import Packs, load_packs, shipped_packs


@pytest.fixture(scope="module")
def packs() -> Packs:
    return load_packs(shipped_packs())


def test_an_article_is_cited_in_its_own_words_and_once(packs: Packs) -> None:
    (cited,) = cite(packs, ["jilin-236/21-2", "jilin-236/21-2"])
    assert (cited.name, cited.text_zh) == ("Jilin Order 236 art. 21(2)", "公共安全视频图像信息存储期不少于15天")


@pytest.mark.parametrize(
    ("rule", "whose"),
    [(DEFAULT_RULE, "edged's own"), (OWN_MINIMUM_RULE, "the operator's own"), (OWN_KEEP_RULE, "the operator's own")],
)
def test_what_is_no_article_says_whose_it_is(packs: Packs, rule: str, whose: str) -> None:
    (cited,) = cite(packs, [rule])
    assert cited.name.startswith(whose)
    assert cited.text_zh == ""
    assert names(packs)[rule] == cited.name


def test_a_rule_of_a_pack_that_is_gone_is_still_listed(packs: Packs) -> None:
    (cited,) = cite(packs, ["elsewhere-1/1"])
    assert cited.name == "a rule of a pack that is not read any more"


def test_every_entry_of_every_pack_has_its_name(packs: Packs) -> None:
    named = names(packs)
    for jurisdiction in packs.jurisdictions():
        for entry in packs.entries(jurisdiction):
            assert named[entry.id] == entry.citation
