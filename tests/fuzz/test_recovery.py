"""Open segments as a crash or a disk left them: recovery puts them in order or away, and goes on with the rest (I7)."""

import hashlib
import random
from pathlib import Path

import pytest

from edged.archive.layout import segment_path
from edged.model import Fact, SegmentSealed, StreamKind
from edged.record.disk.recovery import Recovered, recover
from edged.record.mp4.fmp4 import wall_time
from tests.film_proof import prove
from tests.fuzz.container import read_back
from tests.record_film import SECOND, START_US, Recording, film, show

RUN = 7


@pytest.fixture(scope="module")
def content() -> bytes:
    """Four seconds in eight fragments, without the index that a sealed file ends with."""
    recorder = Recording(film(), fragment_s=0.5)
    recorder.play(show(film(), 100))
    (tape,) = recorder.finish()
    return b"".join(tape.pieces)


class Volume:
    """A volume with open segments, each of another camera."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told: list[Fact] = []
        self.written: dict[str, bytes] = {}

    def leave(self, camera: str, content: bytes) -> None:
        path = self.root / segment_path(camera, StreamKind.MAIN, START_US, RUN, 1)
        path.parent.mkdir(parents=True)
        path.with_name(f"{path.name}.part").write_bytes(content)
        self.written[camera] = content

    def recover(self) -> Recovered:
        steps = recover(self.root, self.told.append)
        for _ in range(100_000):
            try:
                next(steps)
            except StopIteration as end:
                found: Recovered = end.value
                return found
        raise AssertionError("recovery does not end")

    def sealed(self) -> dict[str, SegmentSealed]:
        return {fact.camera: fact for fact in self.told if isinstance(fact, SegmentSealed)}

    def file(self, camera: str) -> Path:
        return self.root / segment_path(camera, StreamKind.MAIN, START_US, RUN, 1)


def check(volume: Volume) -> None:
    """Nothing is open any more; what is sealed begins with what was written, has its hash, and can be read back."""
    assert not list(volume.root.glob("segments/*/*/*.part"))
    sealed = volume.sealed()
    assert {path.parents[1].name for path in volume.root.glob("segments/*/*/*.mp4")} == set(sealed)
    for camera, fact in sealed.items():
        content = volume.file(camera).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (fact.bytes, fact.sha256)
        found = read_back(content)
        assert found is not None
        assert (found.frames, found.keyframes) == (fact.frames, fact.keyframes)
        assert volume.written[camera].startswith(content[: found.length])
        assert fact.recovered
        assert START_US <= fact.start_us < START_US + SECOND
        assert fact.start_us < fact.end_us <= fact.start_us + 120 * SECOND


def test_i7_cut_anywhere_what_is_whole_is_sealed_and_decodes(tmp_path: Path, content: bytes) -> None:
    volume = Volume(tmp_path)
    draw = random.Random(1)
    for number in range(60):
        volume.leave(f"cut-{number}", content[: draw.randrange(len(content) + 1)])
    done = volume.recover()
    check(volume)
    sealed = volume.sealed()
    assert done.sealed == len(sealed)
    assert done.sealed + done.removed == 60
    assert done.sealed > 30
    for camera in sorted(sealed)[:8]:
        prove(volume.file(camera), sealed[camera])


def test_i7_with_turned_bits_nothing_false_is_claimed(tmp_path: Path, content: bytes) -> None:
    volume = Volume(tmp_path)
    draw = random.Random(2)
    heads = [at for at in range(len(content)) if content[at : at + 4] in (b"prft", b"moof", b"moov")]
    for number in range(150):
        damaged = bytearray(content)
        for _ in range(draw.randrange(1, 4)):
            damaged[draw.choice(heads) + draw.randrange(-4, 120)] ^= 1 << draw.randrange(8)
        volume.leave(f"bits-{number}", bytes(damaged))
    volume.recover()
    check(volume)
    assert len(volume.sealed()) > 50


def test_i7_any_bytes_at_all_stop_neither_recovery_nor_the_others(tmp_path: Path, content: bytes) -> None:
    volume = Volume(tmp_path)
    draw = random.Random(3)
    for number in range(60):
        start = content[: draw.randrange(900)]
        volume.leave(f"noise-{number}", start + draw.randbytes(draw.randrange(3000)))
    for number in range(10):
        volume.leave(f"zeros-{number}", content[: number * 9000] + bytes(50_000))
    volume.leave("whole", content)
    volume.recover()
    check(volume)
    assert volume.sealed()["whole"].frames == 100


def test_i1_a_label_with_a_turned_bit_does_not_make_footage_old(tmp_path: Path, content: bytes) -> None:
    """The wall clock in the file says 1990 or so; by its name it is of today, and that is what it is kept by."""
    damaged = bytearray(content)
    at = content.index(b"prft") + 12
    damaged[at] ^= 0x20
    assert abs(wall_time(int.from_bytes(damaged[at : at + 8], "big")) - START_US) > 365 * 86_400 * SECOND
    volume = Volume(tmp_path)
    volume.leave("old", bytes(damaged))
    assert volume.recover().sealed == 1
    fact = volume.sealed()["old"]
    assert fact.start_us == START_US
    assert fact.end_us == START_US + 4 * SECOND
