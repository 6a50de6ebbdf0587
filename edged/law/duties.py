"""What an entry demands beyond a number: who may be shown footage, what is registered, filed, announced, forbidden.

Each record belongs to one kind of entry and says itself in a sentence, given the entry's value and how it counts.
Nothing acts on them yet: they are read, checked and explained, so that the same pack serves when something does.
"""

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]

# Who asks. Judicial organs investigate, prosecute or try; emergency bodies are those the law has handle an emergency;
# relatives are close ones, guardians and carers.
Requester = Literal[
    "state_organs",
    "police",
    "state_security_organs",
    "judicial_organs",
    "administrative_departments",
    "emergency_bodies",
    "organisations",
    "individuals",
    "relatives",
]
# Look on our screen; take a duplicate away; take it for proceedings. Snapshots and screen photographs count as copies.
Mode = Literal["view", "copy", "retrieve"]
# An approval is another body's consent; a unit's letter introduces its own people; a certificate is the police's own.
Document = Literal["work_id", "approval", "unit_letter", "police_certificate", "lawful_authority"]
Approver = Literal["county_police", "county_judicial_organ", "managing_unit"]
Formality = Literal["registration", "confidentiality"]
RegisterField = Literal[
    "reason",
    "content",
    "unit",
    "name",
    "recording_person",
    "retrieving_person",
    "time",
    "purpose",
    "destination",
]
Office = Literal["county_police", "local_police", "police_station"]
Paper = Literal[
    "unit",
    "locations",
    "devices",
    "storage_period",
    "form",
    "layout",
    "equipment_list",
    "wiring_table",
    "schematic",
    "design_scheme",
    "test_papers",
    "acceptance_papers",
]
Area = Literal[
    "guest_rooms",
    "private_rooms",
    "dormitories",
    "staff_rest_rooms",
    "public_rest_rooms",
    "baths",
    "toilets",
    "changing_rooms",
    "fitting_rooms",
    "nursing_rooms",
    "make_up_rooms",
    "hospital_wards",
    "financial_counters",
    "ballot_places",
    "other_private_places",
]


class Record(BaseModel):
    """Unknown keys are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Retrieval(Record):
    """Who may be shown or given footage, and against which papers. The entry's value is how many persons come."""

    requesters: tuple[Requester, ...] = Field(min_length=1)
    modes: tuple[Mode, ...] = Field(min_length=1)  # those allowed; the others are not, under this article
    documents: tuple[Document, ...] = ()  # each of them is shown
    approved_by: Approver | None = None  # who has to consent first
    formalities: tuple[Formality, ...] = ()
    free_of_charge: bool = False
    else_may_refuse: bool = False  # the text says itself that a request lacking any of this may be refused

    def sentence(self, value: int | None, counting: str | None) -> str:
        parts = [f"{_list(self.requesters)} may {_list(self.modes)}"]
        if value is not None:
            parts.append(f"at least {value} persons {_words(counting or '')}")
        if self.documents:
            parts.append(f"showing {_list(self.documents)}")
        if self.approved_by is not None:
            parts.append(f"with the consent of {_words(self.approved_by)}")
        if self.formalities:
            parts.append(f"under {_list(self.formalities)}")
        if self.free_of_charge:
            parts.append("free of charge")
        if self.else_may_refuse:
            parts.append("or may be refused")
        return ", ".join(parts)


class Register(Record):
    """What is written down of each retrieval. No field: the article wants a register and leaves open what is in it."""

    fields: tuple[RegisterField, ...] = ()

    def sentence(self, value: int | None, counting: str | None) -> str:
        return f"a register with {_list(self.fields)}" if self.fields else "a register; its fields are not named"


class Filing(Record):
    """What is filed where. The entry's value is the days allowed; none: "in good time"."""

    occasion: Literal["new", "existing", "change"]  # a new system; one older than the instrument; filed facts changed
    office: Office
    papers: tuple[Paper, ...] = ()
    since: dt.date | None = None  # occasion existing: the day from which the days count, where it is known

    def sentence(self, value: int | None, counting: str | None) -> str:
        what = {"new": "a new system", "existing": "an older system", "change": "a change"}[self.occasion]
        when = "in good time" if value is None else f"within {value} days {_words(counting or '')}"
        since = f" on {self.since}" if self.since is not None else ""
        papers = f": {_list(self.papers)}" if self.papers else ""
        return f"{what} is filed with {_words(self.office)} {when}{since}{papers}"


class Removal(Record):
    """What precedes or follows taking a camera away. Without an office: it is not to be removed without authority."""

    office: Office | None = None

    def sentence(self, value: int | None, counting: str | None) -> str:
        if self.office is None or value is None:
            return "no removal without authority"
        within = "within " if counting == "after_removal" else ""
        return f"notice to {_words(self.office)} {within}{value} days {_words(counting or '')}"


class Forbidden(Record):
    """Where no camera may be."""

    areas: tuple[Area, ...] = Field(min_length=1)

    def sentence(self, value: int | None, counting: str | None) -> str:
        return f"no camera in: {_list(self.areas)}"


Duty = Retrieval | Register | Filing | Removal | Forbidden


def _words(name: str) -> str:
    return name.replace("_", " ")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(_words(name) for name in names)
