"""What `edged retention explain` says of one segment, line by line, for a person."""

from collections.abc import Iterator
from typing import Any

_STANDING = {
    "kept": "is kept",
    "doomed": "is being deleted",
    "missing": "is missing",
    "deleted": "was deleted",
    "never": "was never recorded",
}


def explained(one: dict[str, Any]) -> Iterator[str]:
    """The lines about one explanation of the API."""
    what = one["segment"] or "this instant"
    yield f"{what} {_STANDING[one['standing']]}: {one['because']}"
    if one["from"] is not None:
        yield f"  recorded from {one['from']} to {one['to']}, on volume {one['volume']}"
    if one["late"] is not None:
        yield f"  entered the index late, on {one['late']['at']} (ledger entry {one['late']['ledger']})"
    if one["volume_lacking"] is not None:
        yield f"  its volume cannot be used: {one['volume_lacking']}"
    for hold in one["holds"]:
        half = (
            f"; {hold['first_release_by']} has released it, a second person has not" if hold["first_release_by"] else ""
        )
        yield (
            f"  held as evidence by {hold['id']}: case {hold['case']}, {hold['authority']}, document"
            f" {hold['document']}, placed by {hold['placed_by']} on {hold['placed']}{half}"
        )
    yield from _dates(one)
    for article in one["articles"]:
        words = f": \u201c{article['text_zh']}\u201d" if article["text_zh"] else ""
        yield f"  {article['rule']} is {article['name']}{words}"


def _dates(one: dict[str, Any]) -> Iterator[str]:
    if one["standing"] == "deleted":
        yield f"  had to be kept until {one['keep_until']}; deleted on {one['deleted']} (ledger entry {one['ledger']})"
        return
    if one["keep_until"] is not None:
        yield f"  may not be deleted before {one['keep_until']}" + (", nor while it is held" if one["holds"] else "")
    if one["erase_due"] is not None:
        yield f"  is to be deleted from {one['erase_due']} on" + (", once no longer held" if one["holds"] else "")
