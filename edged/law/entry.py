"""One duty of one article, as a rule pack writes it down, and what binds whom from when. Pure."""

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edged.law.duties import Duty, Filing, Forbidden, Record, Register, Removal, Retrieval, Text
from edged.model import Designation, Place


class Kind(StrEnum):
    """What an entry demands."""

    RETENTION_MIN = "retention_min"  # keep at least
    RETENTION_DELETE = "retention_delete"  # then delete
    BASIS = "basis"  # names no number of its own, but the instrument is in force here
    REPORT = "report"  # report a fault within
    ATTENDANCE = "attendance"  # repair unit on site within
    RETRIEVAL = "retrieval"  # who may view, copy or retrieve, and against which papers
    REGISTER = "register"  # what is written down of it
    FILING = "filing"  # what is filed with the police
    REMOVAL = "removal"  # notice of taking a camera away
    FORBIDDEN = "forbidden"  # where no camera may be


_AMOUNTS = {
    Kind.RETENTION_MIN: "at least {}",
    Kind.RETENTION_DELETE: "deletion after {}",
    Kind.REPORT: "a report within {}",
    Kind.ATTENDANCE: "the repair unit on site within {}",
}


class Topic(StrEnum):
    """What people ask about: kinds that belong together."""

    RETENTION = "retention"
    REPORT = "report"
    ATTENDANCE = "attendance"
    RETRIEVAL = "retrieval"
    REGISTER = "register"
    FILING = "filing"
    REMOVAL = "removal"
    FORBIDDEN = "forbidden"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        if self is Topic.RETENTION:
            return (Kind.RETENTION_MIN, Kind.RETENTION_DELETE, Kind.BASIS)
        return (Kind(self.value),)


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


Counting = Literal[
    "local_civil_days",
    "from_last_good_frame",
    "from_receipt_of_report",
    "of_the_requesting_body",
    "from_use",
    "from_acceptance",
    "from_commencement",
    "before_removal",
    "after_removal",
]


class _Measure(NamedTuple):
    """What a kind's number means: its unit, from where it is counted, and whether there has to be one."""

    unit: Literal["day", "hour", "person"] | None
    counting: tuple[Counting, ...] = ()
    required: bool = False


_MEASURE = {
    Kind.RETENTION_MIN: _Measure("day", ("local_civil_days",), required=True),
    Kind.RETENTION_DELETE: _Measure("day", ("local_civil_days",), required=True),
    Kind.BASIS: _Measure(None),
    Kind.REPORT: _Measure("hour", ("from_last_good_frame",), required=True),
    Kind.ATTENDANCE: _Measure("hour", ("from_receipt_of_report",), required=True),
    Kind.RETRIEVAL: _Measure("person", ("of_the_requesting_body",)),
    Kind.REGISTER: _Measure(None),
    Kind.FILING: _Measure("day", ("from_use", "from_acceptance", "from_commencement")),
    Kind.REMOVAL: _Measure("day", ("before_removal", "after_removal")),
    Kind.FORBIDDEN: _Measure(None),
}


class Instrument(Record):
    """The text an entry is from. `valid_to` is the last day it is in force."""

    title: Text
    title_zh: Text
    issuer: Text
    rank: Rank
    status: Status
    valid_from: dt.date | None = None
    valid_to: dt.date | None = None
    source_sha256: Annotated[str, Field(pattern=r"[0-9a-f]{64}")] | None = None  # of the text that was read
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status in (Status.IN_FORCE, Status.TRIAL):
            if self.valid_from is None:
                raise ValueError("an instrument in force needs valid_from")
            if self.rank is Rank.DRAFT:
                raise ValueError("a draft is not in force")
        if self.valid_from is not None and self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        return self

    def not_binding_because(self, on: dt.date) -> str | None:
        """Why it binds nobody on the day `on`; None where it is in force."""
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


# Ids that begin so are edged's own rules and the operator's (see law.floor), which no pack may pass for.
_RESERVED = ("edged/", "operator/")


def _own_id(entry_id: str) -> str:
    if entry_id.startswith(_RESERVED):
        raise ValueError(f"ids that begin with {' or '.join(_RESERVED)} are not for rule packs")
    return entry_id


def _known(instrument: object) -> object:
    if isinstance(instrument, str):  # the loader puts the instrument itself in place of every name it knows
        raise ValueError(f"there is no table [instrument.{instrument}]")
    return instrument


class Scope(Record):
    """Whom an entry is about. A key edged does not know is refused: it would narrow or widen a duty unseen."""

    place: tuple[Place, ...] = Field(min_length=1)  # Order 799 art. 7 (listed) or art. 9 (other)

    # Where there are any, the entry is about cameras so designated alone; empty: about all of its places.
    designations: tuple[Designation, ...] = ()

    def matches(self, place: Place, designations: Sequence[Designation] = ()) -> bool:
        """Whether a camera at `place` with `designations` is meant."""
        return place in self.place and (not self.designations or bool(set(self.designations) & set(designations)))


class Entry(Record):
    """One duty of one article. `value` counts `unit`s; the table named like the kind holds what is no number."""

    id: Annotated[Text, AfterValidator(_own_id)]
    instrument: Annotated[Instrument, BeforeValidator(_known)]
    article: Text
    scope: Scope
    kind: Kind
    value: int | None = Field(default=None, ge=1, le=36_500)
    unit: Literal["day", "hour", "person"] | None = None
    counting: Counting | None = None
    text_zh: Text  # the decisive words, as they stand in the article
    note: str = ""
    retrieval: Retrieval | None = None
    register_: Register | None = Field(default=None, alias="register")
    filing: Filing | None = None
    removal: Removal | None = None
    forbidden: Forbidden | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        measure = _MEASURE[self.kind]
        if self.value is None and (self.unit, self.counting) != (None, None) and not measure.required:
            raise ValueError(f"kind {self.kind} without a value has neither unit nor counting")
        if self.value is not None and measure.unit is None:
            raise ValueError(f"kind {self.kind} has no value")
        if (self.value is not None or measure.required) and (
            self.unit != measure.unit or self.counting not in measure.counting
        ):
            raise ValueError(
                f"kind {self.kind} is counted in unit {measure.unit}, counting {' or '.join(measure.counting)}"
            )
        if self.value is None and measure.required:
            raise ValueError(f"kind {self.kind} needs a value")
        for kind, table in self._tables().items():
            if table is not None and kind is not self.kind:
                raise ValueError(f"the table {kind} is for kind {kind}, not {self.kind}")
            if table is None and kind is self.kind:
                raise ValueError(f"kind {kind} needs the table [entry.{kind}]")
        if self.filing is not None and self.value is not None:
            older = self.filing.occasion == "existing"
            if older != (self.counting == "from_commencement"):
                raise ValueError("from_commencement is how the days of an existing system count, and only they")
        if self.removal is not None and (self.value is None) != (self.removal.office is None):
            raise ValueError("a notice of removal has both its days and an office")
        return self

    @property
    def citation(self) -> str:
        """How a person names it, e.g. "State Council Order 799 art. 17"."""
        return f"{self.instrument.title} art. {self.article}"

    @property
    def table(self) -> Duty | None:
        """What is no number, where the kind has such."""
        return self._tables().get(self.kind)

    @property
    def demand(self) -> str:
        """What it demands, in a few words."""
        if self.table is not None:
            return self.table.sentence(self.value, self.counting)
        if self.value is None:
            return "no number of its own"
        amount = f"{self.value} {self.unit}" + ("s" if self.value > 1 else "")
        return _AMOUNTS.get(self.kind, "{}").format(amount)

    def _tables(self) -> dict[Kind, Duty | None]:
        return {
            Kind.RETRIEVAL: self.retrieval,
            Kind.REGISTER: self.register_,
            Kind.FILING: self.filing,
            Kind.REMOVAL: self.removal,
            Kind.FORBIDDEN: self.forbidden,
        }

    def not_binding_because(self, on: dt.date) -> str | None:
        """Why it binds nobody on the day `on`; None where it is in force."""
        return self.instrument.not_binding_because(on)
