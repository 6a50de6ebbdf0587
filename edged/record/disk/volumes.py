"""The volumes of one recorder process, and which of them a stream may be stored on."""

from collections import Counter
from collections.abc import Callable, Iterable

from edged.record.disk.placing import Room, choose
from edged.record.disk.volume import VolumeWriter, queue_bytes_for


class Volumes:
    """`writers` by volume id, as the assignment has them; `writing` names the writer of every stream."""

    def __init__(self, writing: Callable[[], Iterable[VolumeWriter]]) -> None:
        self.writers: dict[str, VolumeWriter] = {}
        self._writing = writing

    def choose(self, home: str) -> VolumeWriter | None:
        """Where a stream that belongs on volume `home` is stored from now on; None where nothing can be written to."""
        streams = Counter(self._writing())
        rooms = [
            Room(volume, writer.trusted, writer.free_bytes, streams[writer])
            for volume, writer in self.writers.items()
            if not writer.fenced
        ]
        chosen = choose(home, rooms)
        if chosen is None:
            return None
        writer = self.writers[chosen]
        writer.queue_bytes = max(writer.queue_bytes, queue_bytes_for(streams[writer] + 1))
        return writer
