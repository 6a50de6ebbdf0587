"""Rule packs: one TOML file of one jurisdiction's duties, each with its article, rank, status and decisive words.

A pack names its instruments once, quotes the articles it uses, and has one entry for each duty. It is read strictly: an
unknown key, a doubled id, a number without its unit, an instrument in force without its first day, or a quotation that
does not stand in the article it names is refused with file, line, key and reason, because a misread law is worse than
none. Only the pack folder is read; nothing else is touched.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from edged.base.errors import OwnerMustAct
from edged.config.load import Key, dotted, key_lines, line_of
from edged.law.duties import Record, Text
from edged.law.entry import Entry, Instrument

NATIONAL = "national"


class BadPack(OwnerMustAct):
    """A rule pack cannot be used."""

    code = "LAW-001"
    hint = "correct the rule pack, or leave retention.rule_packs out to use the shipped ones"


class Pack(Record):
    """One jurisdiction's file."""

    jurisdiction: Text
    title: Text
    entries: tuple[Entry, ...]


class Packs:
    """Every pack of a folder, by jurisdiction. Immutable after reading."""

    def __init__(self, packs: tuple[Pack, ...]) -> None:
        self._packs = {pack.jurisdiction: pack for pack in packs}
        self._entries = {entry.id: entry for pack in packs for entry in pack.entries}

    def jurisdictions(self) -> list[str]:
        return sorted(self._packs)

    def known(self, jurisdiction: str) -> bool:
        return jurisdiction in self._packs

    def entries(self, jurisdiction: str) -> tuple[Entry, ...]:
        """National law first, then the jurisdiction's own; national law alone where the jurisdiction is unknown."""
        names = (NATIONAL,) if jurisdiction == NATIONAL else (NATIONAL, jurisdiction)
        return tuple(entry for name in names if name in self._packs for entry in self._packs[name].entries)

    def find(self, entry_id: str) -> Entry | None:
        """The entry of this id in whatever pack; None for edged's own rules, and for a pack that is gone."""
        return self._entries.get(entry_id)


class _Article(Record):
    """One article as far as entries quote it, word for word."""

    instrument: Text
    no: Text
    text_zh: Text


class _File(Record):
    class Head(Record):
        jurisdiction: Text
        title: Text

    pack: Head
    instrument: dict[str, Instrument] = Field(min_length=1)
    article: tuple[_Article, ...] = Field(min_length=1)
    entry: tuple[Entry, ...] = Field(min_length=1)

    @field_validator("entry", mode="before")
    @classmethod
    def _with_instruments(cls, written: Any, info: ValidationInfo) -> Any:
        """Put the instrument itself where an entry names it."""
        instruments = info.data.get("instrument", {})
        if not isinstance(written, list):
            return written
        return [
            {**entry, "instrument": instruments.get(entry.get("instrument"), entry.get("instrument"))}
            if isinstance(entry, dict) and isinstance(entry.get("instrument"), str)
            else entry
            for entry in written
        ]


def shipped_packs() -> Path:
    """The folder of the packs delivered with edged: inside the package when installed, config/ in a checkout."""
    installed = Path(__file__).parent / "jurisdictions"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "config" / "jurisdictions"


def load_packs(folder: Path) -> Packs:
    """Read every *.toml of `folder`. Raises BadPack with the file, the key and the reason.

    National law must be among them: without it no floor can be told at any site.
    """
    try:
        files = sorted(folder.glob("*.toml"))
        packs = tuple(_load(file) for file in files)
    except OSError as error:
        raise BadPack(f"{folder}: cannot be read ({error.strerror})") from error
    seen: dict[str, str] = {}
    for file, pack in zip(files, packs, strict=True):
        for index, entry in enumerate(pack.entries):
            if entry.id in seen:
                raise BadPack(f"{file}: entry[{index}].id: {entry.id} is used already in {seen[entry.id]}")
            seen[entry.id] = file.name
    if not any(pack.jurisdiction == NATIONAL for pack in packs):
        raise BadPack(f"{folder}: there is no {NATIONAL}.toml; it applies at every site")
    return Packs(packs)


def check_pack(file: Path) -> Pack:
    """Read one pack by itself, before it goes into the folder. Raises BadPack with each line, key and reason."""
    try:
        return _load(file)
    except OSError as error:
        raise BadPack(f"{file}: cannot be read ({error.strerror})") from error


def _load(file: Path) -> Pack:
    try:
        text = file.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPack(f"{file}: is not TOML: {error}") from error
    lines = key_lines(text)
    try:
        read = _File.model_validate(raw)
    except ValidationError as error:
        raise BadPack("\n".join(_sentences(file, lines, raw, error))) from None
    problems = _inconsistencies(file, read)
    if problems:
        raise BadPack("\n".join(f"{file}:{line_of(lines, key)}: {dotted(key)}: {reason}" for key, reason in problems))
    return Pack(jurisdiction=read.pack.jurisdiction, title=read.pack.title, entries=read.entry)


def _sentences(file: Path, lines: dict[Key, int], raw: Any, error: ValidationError) -> list[str]:
    told = []
    written = raw.get("instrument")
    for found in error.errors():
        key: Key = found["loc"]
        if found["type"] == "too_short" and found["input"]:
            continue  # it was long enough before what is told of its parts was left out
        named = found["input"] if key[:1] == ("entry",) and key[2:] == ("instrument",) else None
        if isinstance(named, str) and isinstance(written, dict) and named in written:
            continue  # the instrument is there but wrong, which is told once, in its own place
        reason = "unknown key" if found["type"] == "extra_forbidden" else found["msg"].removeprefix("Value error, ")
        told.append(f"{file}:{line_of(lines, key)}: {dotted(key)}: {reason}")
    return told


def _inconsistencies(file: Path, read: _File) -> list[tuple[Key, str]]:
    """What is wrong between the parts of a pack each of which is good by itself."""
    problems: list[tuple[Key, str]] = []
    if read.pack.jurisdiction != file.stem:
        problems.append((("pack", "jurisdiction"), f"is {read.pack.jurisdiction}, but the file is named {file.stem}"))
    names = {id(instrument): name for name, instrument in read.instrument.items()}
    articles: dict[tuple[str, str], str] = {}
    for index, article in enumerate(read.article):
        key = (article.instrument, article.no)
        if article.instrument not in read.instrument:
            problems.append((("article", index, "instrument"), f"there is no table [instrument.{article.instrument}]"))
        if key in articles:
            problems.append((("article", index, "no"), f"art. {article.no} of {article.instrument} is above already"))
        articles[key] = _bare(article.text_zh)
    first: set[str] = set()
    for index, entry in enumerate(read.entry):
        if entry.id in first:
            problems.append((("entry", index, "id"), f"{entry.id} is used already above"))
        first.add(entry.id)
        where = (names[id(entry.instrument)], entry.article.partition("(")[0])
        if where not in articles:
            problems.append((("entry", index, "article"), f"there is no [[article]] {where[1]} of {where[0]} to quote"))
        elif _bare(entry.text_zh) not in articles[where]:
            problems.append((("entry", index, "text_zh"), f"these words do not stand in art. {where[1]} of {where[0]}"))
    return problems


def _bare(text: str) -> str:
    """Without blanks and line breaks, which differ from one print of a law to the next."""
    return re.sub(r"\s+", "", text)
