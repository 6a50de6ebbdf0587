"""A soak kept on disk before it is judged: judging thousands of files takes minutes, and may be done again."""

import dataclasses
import json
from pathlib import Path

from edged.record.assignment import AssignedVolume
from tests.recorder_kit import Site
from tests.soak.faults import Fault
from tests.soak.run import VOLUME, Options, Outcome

_NAME = "outcome.json"
_PLAIN = ("adopted_us", "stopped_us", "before", "during", "after", "last", "code", "errors", "cameras")


def save(outcome: Outcome, folder: Path) -> None:
    """Into the folder that was recorded into."""
    kept = {name: getattr(outcome, name) for name in _PLAIN}
    kept["options"] = dataclasses.asdict(outcome.options)
    kept["faults"] = [dataclasses.asdict(fault) for fault in outcome.faults]
    kept["uuid"] = outcome.site.volumes[VOLUME].uuid
    (folder / _NAME).write_text(json.dumps(kept))


def load(folder: Path) -> Outcome:
    """What `save` kept there, wherever the folder lies now. Raises OSError where nothing was kept."""
    kept = json.loads((folder / _NAME).read_text())
    site = Site(folder, volumes=())
    site.volumes[VOLUME] = AssignedVolume(id=VOLUME, path=str(folder / VOLUME), uuid=kept["uuid"])
    outcome = Outcome(Options(**kept["options"]), site, folder / "index.sqlite3", kept["adopted_us"])
    outcome.faults = [Fault(**fault) for fault in kept["faults"]]
    for name in _PLAIN:
        setattr(outcome, name, kept[name])
    return outcome
