"""Rule packs: one TOML file of one jurisdiction's duties, each entry with its article, rank, status and validity.

A pack is read strictly: an unknown key, a doubled id, a number without its unit or a binding entry without the day it
came into force is refused with the file, the key and the reason, because a misread law is worse than none. Only the
pack folder is read; nothing else is touched.
"""

import datetime as dt
import tomllib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edged.base.errors import OwnerMustAct
from edged.config.load import Key, dotted, key_lines, line_of
from edged.model import Designation

NATIONAL = "national"

Text = Annotated[str, Field(min_length=1)]
PlaceKind = Literal["listed", "other"]


class BadPack(OwnerMustAct):
    """A rule pack cannot be used."""

    code = "LAW-001"
    hint = "correct the rule pack, or leave retention.rule_packs out to use the shipped ones"


class Kind(StrEnum):
    """What an entry demands."""

    RETENTION_MIN = "retention_min"  # keep at least
    RETENTION_DELETE = "retention_delete"  # then delete
    REPORT = "report"  # report a fault within
    ATTENDANCE = "attendance"  # repair unit on site within
    BASIS = "basis"  # names no number of its own, but the instrument is in force here


class Rank(StrEnum):
    """Where an instrument stands (Legislation Law 2023, arts. 98-103)."""

    LAW = "law"
    ADMIN_REG = "admin_reg"
    LOCAL_REG = "local_reg"
    PROVINCIAL_RULE = "provincial_rule"
    CITY_RULE = "city_rule"
    NORMATIVE_DOC = "normative_doc"
    STANDARD = "standard"
    CONTRACT = "contract"
    DRAFT = "draft"


class Status(StrEnum):
    """Whether an instrument binds anybody."""

    IN_FORCE = "in_force"
    TRIAL = "trial"
    LAPSED = "lapsed"
    DRAFT = "draft"
    UNKNOWN = "unknown"


# What a number means, by kind: a period of days is counted in civil days, a clock in hours from a stated moment.
_MEASURE = {
    Kind.RETENTION_MIN: ("day", "local_civil_days"),
    Kind.RETENTION_DELETE: ("day", "local_civil_days"),
    Kind.REPORT: ("hour", "from_last_good_frame"),
    Kind.ATTENDANCE: ("hour", "from_receipt_of_report"),
    Kind.BASIS: (None, None),
}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scope(_Record):
    """Whom an entry is about. A key edged does not know is refused: it would narrow or widen a duty unseen."""

    place: tuple[PlaceKind, ...] = Field(min_length=1)  # Order 799 art. 7 (listed) or art. 9 (other)

    # Where there are any, the entry is about cameras so designated alone; empty: about all of its places.
    designations: tuple[Designation, ...] = ()

    def matches(self, place: PlaceKind, designations: Sequence[Designation] = ()) -> bool:
        """Whether a camera at `place` with `designations` is meant."""
        return place in self.place and (not self.designations or bool(set(self.designations) & set(designations)))


class Entry(_Record):
    """One duty of one article. `value` counts `unit`s; `valid_to` is the last day it is in force."""

    id: Text
    title: Text
    title_zh: Text
    issuer: Text
    article: Text
    rank: Rank
    status: Status
    valid_from: dt.date | None = None
    valid_to: dt.date | None = None
    scope: Scope
    kind: Kind
    value: int | None = Field(default=None, ge=1, le=36_500)
    unit: Literal["day", "hour"] | None = None
    counting: Literal["local_civil_days", "from_last_good_frame", "from_receipt_of_report"] | None = None
    text_zh: Text  # the decisive sentence, so that an inspector can compare
    note: str = ""
    source_sha256: Annotated[str, Field(pattern=r"[0-9a-f]{64}")] | None = None  # of the text that was read

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unit, counting = _MEASURE[self.kind]
        if (self.unit, self.counting) != (unit, counting):
            raise ValueError(f"kind {self.kind} is counted in unit {unit}, counting {counting}")
        if (self.value is None) != (unit is None):
            raise ValueError(f"kind {self.kind} " + ("has no value" if unit is None else "needs a value"))
        if self.status in (Status.IN_FORCE, Status.TRIAL):
            if self.valid_from is None:
                raise ValueError("an entry in force needs valid_from")
            if self.rank is Rank.DRAFT:
                raise ValueError("a draft is not in force")
        if self.valid_from is not None and self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        return self

    @property
    def citation(self) -> str:
        """How a person names it, e.g. "State Council Order 799 art. 17"."""
        return f"{self.title} art. {self.article}"

    def not_binding_because(self, on: dt.date) -> str | None:
        """Why this entry binds nobody on the day `on`, or None where it is in force."""
        if self.valid_to is not None and on > self.valid_to:
            return f"its validity ended on {self.valid_to}"
        if self.status is Status.DRAFT or self.rank is Rank.DRAFT:
            return "it is a draft, not in force"
        if self.status is Status.LAPSED:
            return "it has lapsed"
        if self.status is Status.UNKNOWN:
            return "nobody has verified that it is in force"
        if self.valid_from is None or on < self.valid_from:
            return f"it is not in force before {self.valid_from}"
        return None


class Pack(_Record):
    """One jurisdiction's file."""

    jurisdiction: Text
    title: Text
    entries: tuple[Entry, ...]


class Packs:
    """Every pack of a folder, by jurisdiction. Immutable after reading."""

    def __init__(self, packs: tuple[Pack, ...]) -> None:
        self._packs = {pack.jurisdiction: pack for pack in packs}

    def jurisdictions(self) -> list[str]:
        return sorted(self._packs)

    def known(self, jurisdiction: str) -> bool:
        return jurisdiction in self._packs

    def entries(self, jurisdiction: str) -> tuple[Entry, ...]:
        """National law first, then the jurisdiction's own; national law alone where the jurisdiction is unknown."""
        names = (NATIONAL,) if jurisdiction == NATIONAL else (NATIONAL, jurisdiction)
        return tuple(entry for name in names if name in self._packs for entry in self._packs[name].entries)


class _File(_Record):
    class Head(_Record):
        jurisdiction: Text
        title: Text

    pack: Head
    entry: tuple[Entry, ...] = Field(min_length=1)


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
        if pack.jurisdiction != file.stem:
            raise BadPack(f"{file}: pack.jurisdiction: is {pack.jurisdiction}, but the file is named {file.stem}")
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
        pack = _load(file)
    except OSError as error:
        raise BadPack(f"{file}: cannot be read ({error.strerror})") from error
    if pack.jurisdiction != file.stem:
        raise BadPack(f"{file}: pack.jurisdiction: is {pack.jurisdiction}, but the file is named {file.stem}")
    return pack


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
        raise BadPack("\n".join(_sentence(file, lines, found) for found in error.errors())) from None
    _refuse_doubled(file, lines, read.entry)
    return Pack(jurisdiction=read.pack.jurisdiction, title=read.pack.title, entries=read.entry)


def _sentence(file: Path, lines: dict[Key, int], found: Any) -> str:
    key: Key = found["loc"]
    reason = "unknown key" if found["type"] == "extra_forbidden" else found["msg"].removeprefix("Value error, ")
    return f"{file}:{line_of(lines, key)}: {dotted(key)}: {reason}"


def _refuse_doubled(file: Path, lines: dict[Key, int], entries: tuple[Entry, ...]) -> None:
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        key: Key = ("entry", index, "id")
        if entry.id in first:
            raise BadPack(f"{file}:{line_of(lines, key)}: {dotted(key)}: {entry.id} is used already above")
        first[entry.id] = index
