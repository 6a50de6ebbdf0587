"""What a rule's id stands for, in words that a person can check. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from edged.law.floor import DEFAULT_RULE, OWN_KEEP_RULE, OWN_MINIMUM_RULE
from edged.law.packs import Packs

_OWN = {
    DEFAULT_RULE: "edged's own default, where no article in force names a number",
    OWN_MINIMUM_RULE: "the operator's own minimum (keep_at_least in the configuration)",
    OWN_KEEP_RULE: 'the operator\'s own rule (keep = "floor" in the configuration)',
}


@dataclass(frozen=True, slots=True)
class Cited:
    """A rule by its id, its name, and the article's own words; "" where it is no article of a pack read now."""

    rule: str
    name: str
    text_zh: str = ""


def cite(packs: Packs, rules: Iterable[str]) -> tuple[Cited, ...]:
    """Each of `rules` once, in their order."""
    return tuple(_cited(packs, rule) for rule in dict.fromkeys(rules))


def names(packs: Packs) -> dict[str, str]:
    """What every rule's id stands for: each entry's of every pack, edged's own and the operator's."""
    return {entry.id: entry.citation for pack in packs.jurisdictions() for entry in packs.entries(pack)} | _OWN


def _cited(packs: Packs, rule: str) -> Cited:
    entry = packs.find(rule)
    if entry is not None:
        return Cited(rule, entry.citation, entry.text_zh)
    return Cited(rule, _OWN.get(rule, "a rule of a pack that is not read any more"))
