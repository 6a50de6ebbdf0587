"""Whether a volume is the one it should be: asked before anything is written to it, and before every new segment.

A mount that is missing leaves an empty folder on the system disk behind; a swapped disk looks like the right one. Both
lack the VOLUME.json with the assignment's identity.
"""

import json
from pathlib import Path

from edged.archive.layout import IDENTITY
from edged.record.assignment import AssignedVolume
from edged.record.errors import VolumeFenced

_LIMIT = 64 * 1024


class Identity:
    """One assigned volume's identity. Used by the volume's thread."""

    def __init__(self, volume: AssignedVolume) -> None:
        self._volume = volume
        self._path = Path(volume.path) / IDENTITY
        self._seen: tuple[int, int] | None = None

    def check(self) -> None:
        """Raises VolumeFenced where the volume is missing or another one, OSError where it cannot be read."""
        try:
            with self._path.open("rb") as file:
                text = file.read(_LIMIT)
            found = json.loads(text)
            says = (found.get("v"), found.get("volume"), found.get("uuid")) if isinstance(found, dict) else ()
            status = self._path.stat()
        except FileNotFoundError:
            raise VolumeFenced(f"there is no {IDENTITY}: the disk is not mounted, or was never set up") from None
        except ValueError:
            raise VolumeFenced(f"{IDENTITY} is damaged") from None
        if says != (1, self._volume.id, self._volume.uuid):
            raise VolumeFenced(f"{IDENTITY} belongs to another volume: the disk was swapped")
        self._seen = status.st_dev, status.st_ino

    def check_again(self) -> None:
        """Cheaper: the same file as before. Raises as `check`."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            raise VolumeFenced(f"{IDENTITY} has gone: the disk was taken out") from None
        if (status.st_dev, status.st_ino) != self._seen:
            self.check()
