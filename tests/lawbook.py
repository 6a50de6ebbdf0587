"""Rules made up for tests: an entry in force everywhere, and packs that hold nothing else."""

import datetime as dt

from edged.law.packs import Entry, Kind, Pack, Packs, Rank, Scope, Status


def entry(**changes: object) -> Entry:
    fields: dict[str, object] = {
        "id": "test/1",
        "title": "Test rule",
        "title_zh": "无",
        "issuer": "无",
        "article": "1",
        "rank": Rank.CITY_RULE,
        "status": Status.IN_FORCE,
        "valid_from": dt.date(2020, 1, 1),
        "scope": Scope(place=("listed", "other")),
        "kind": Kind.RETENTION_MIN,
        "value": 40,
        "unit": "day",
        "counting": "local_civil_days",
        "text_zh": "无",
    }
    return Entry.model_validate(fields | changes)


def with_entries(*entries: Entry) -> Packs:
    return Packs(
        (Pack(jurisdiction="national", title="-", entries=()), Pack(jurisdiction="x", title="-", entries=entries))
    )
