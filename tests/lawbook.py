"""Rules made up for tests: an entry in force everywhere, and packs that hold nothing else."""

import datetime as dt

from edged.law.entry import Entry, Instrument, Kind, Rank, Scope, Status
from edged.law.packs import Pack, Packs

_OF_THE_INSTRUMENT = ("title", "title_zh", "issuer", "rank", "status", "valid_from", "valid_to")


def entry(**changes: object) -> Entry:
    """An entry, with changes to it or to the instrument it is from."""
    instrument: dict[str, object] = {
        "title": "Test rule",
        "title_zh": "无",
        "issuer": "无",
        "rank": Rank.CITY_RULE,
        "status": Status.IN_FORCE,
        "valid_from": dt.date(2020, 1, 1),
    }
    fields: dict[str, object] = {
        "id": "test/1",
        "article": "1",
        "scope": Scope(place=("listed", "other")),
        "kind": Kind.RETENTION_MIN,
        "value": 40,
        "unit": "day",
        "counting": "local_civil_days",
        "text_zh": "无",
    }
    for key, value in changes.items():
        (instrument if key in _OF_THE_INSTRUMENT else fields)[key] = value
    return Entry.model_validate({**fields, "instrument": Instrument.model_validate(instrument)})


def with_entries(*entries: Entry) -> Packs:
    return Packs(
        (Pack(jurisdiction="national", title="-", entries=()), Pack(jurisdiction="x", title="-", entries=entries))
    )
