"""Checks a mirror of the ledger without the box it came from: the files alone, and the signed head beside them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from edged.archive import merkle
from edged.prove.mirror_files import LINES, MirrorFolder
from edged.prove.verify_retention import Altered, Head, read_key, verify_checkpoint


@dataclass(slots=True)
class MirrorCheck:
    """What the files hold. `head` is the signed one; where there is none to believe, `unsigned` says why."""

    entries: int = 0
    head: Head | None = None
    unsigned: str = ""
    damage: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong: one sentence each."""
        return [*([self.unsigned] if self.unsigned else []), *self.damage]


def check_mirror(folder: Path, key_pem: bytes | None = None) -> MirrorCheck:
    """Whether every entry is there, in order, and the signed head is theirs; `folder` is <volume>/ledger/<recorder>.

    `key_pem` is the public key, got by another way; without it the one in the folder is believed. Entries after the
    head are counted but cannot be proved. Raises OSError.
    """
    check = MirrorCheck()
    mirror = MirrorFolder(folder.parent.parent, folder.name)
    try:
        pem = key_pem if key_pem is not None else (folder / "key.pem").read_bytes()
        check.head = verify_checkpoint((folder / "checkpoint").read_text(encoding="utf-8"), read_key(pem))
    except (Altered, FileNotFoundError, UnicodeDecodeError) as error:
        check.unsigned = f"there is no signed head: {error}"
    frontier = merkle.Frontier()
    for number in mirror.numbers():
        if number * LINES != frontier.size:
            check.damage.append(f"entries {frontier.size + 1} to {number * LINES} are missing")
            break
        for line in mirror.read(number).lines:
            try:
                seq = json.loads(line)["seq"]
            except (ValueError, KeyError, TypeError):
                seq = None
            if seq != frontier.size + 1:
                check.damage.append(f"entry {frontier.size + 1} is not there")
                check.entries = frontier.size
                return check
            frontier.add(merkle.leaf_hash(line))
            if check.head is not None and frontier.size == check.head.size and frontier.root() != check.head.root:
                check.damage.append(f"the first {frontier.size} entries are not those that were signed")
    check.entries = frontier.size
    if check.head is not None and check.head.size > frontier.size:
        check.damage.append(f"{check.head.size} entries were signed, only {frontier.size} are there")
    return check
