"""Reading everything again: how fast, whose turn, what is found; the expected hash never changes and nothing goes."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.archive import fixity
from edged.archive.fixity import Found
from edged.archive.ledger import LedgerKind
from edged.archive.schema import SEALED
from edged.archive.segments import SegmentKey, find_segment
from edged.base.clock import DAY, SECOND
from edged.base.gently import idle_thread, sha256_of
from edged.base.tasks import cancel, spawn
from edged.prove.pace import MARGIN, MOST_CREDIT, bytes_per_second, credit_after, wait_s
from edged.prove.scrub import Scrub
from edged.prove.verify_retention import verify_bundle
from tests.proving import CAMERA, DAY_US, box
from tests.retaining import House, house

WITHIN_S = 30 * 86_400.0


@given(st.integers(1, 10**14), st.integers(1, 10**10))
def test_an_even_rate_is_through_in_time(total: int, size: int) -> None:
    """Whatever the size of a segment: what is earned over the days asked for is at least everything there is."""
    rate = bytes_per_second(total, WITHIN_S)
    assert rate * WITHIN_S * MARGIN == pytest.approx(total)
    assert rate * WITHIN_S > total
    assert wait_s(0, rate, size, 60) == min(60, size / rate)
    assert wait_s(size, rate, size, 60) == 0
    assert credit_after(0, 1e12, rate, size) <= max(MOST_CREDIT, size), "no burst after a pause"


def test_nothing_to_read_costs_nothing() -> None:
    assert wait_s(0, bytes_per_second(0, WITHIN_S), 10, 60) == 60


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(bytes(content))


def lengthen(file: Path) -> None:
    with file.open("ab") as more:
        more.write(b"more")


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_link(file: Path) -> None:
    """What leads to the true content is still not the file that was recorded."""
    away = file.with_name("away")
    file.rename(away)
    file.symlink_to(away)


@asynccontextmanager
async def scrubbed(path: Path) -> AsyncIterator[tuple[House, Scrub]]:
    async with house(path) as built:
        scrub = Scrub(built.database, built.clock, [each.volume for each in built.volumes], WITHIN_S)
        try:
            await built.camera("cam-a")
            yield built, scrub
        finally:
            scrub.close()


async def look(built: House, scrub: Scrub, key: SegmentKey) -> str:
    row = await built.database.read(find_segment, key)
    assert row is not None
    return (await scrub.now([row]))[str(key)]


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (flip, Found.ALTERED),
        (lengthen, Found.ALTERED),
        (os.unlink, Found.GONE),
        (make_folder, Found.UNREADABLE),
        (make_link, Found.UNREADABLE),
    ],
)
async def test_i1_what_is_not_as_recorded_is_told_once_and_nothing_goes(
    tmp_path: Path, harm: Callable[[Path], None], found: Found
) -> None:
    async with scrubbed(tmp_path) as (built, scrub):
        key, other = await built.record("cam-a"), await built.record("cam-a")
        row = await built.row(key)
        file = built.file(key)
        good = file.read_bytes()
        assert await look(built, scrub, key) == Found.SOUND
        harm(file)
        for _ in range(2):
            assert await look(built, scrub, key) == found
        assert await look(built, scrub, other) == Found.SOUND
        assert await built.row(key) == row, "neither the hash nor the row is touched"
        (entry,) = await built.told(LedgerKind.FOOTAGE_ALTERED)
        assert (entry.body["segments"], entry.body["what"]) == ([str(key)], found)
        (finding,) = await built.database.read(fixity.findings)
        assert (finding.segment, finding.volume, finding.what) == (str(key), "disk-0", found)
        if harm is not os.unlink:
            assert os.path.lexists(file), "a file is never deleted for it"
        # Put right again by its owner, it is sound again, and that is told too.
        if file.is_symlink():
            file.unlink()
        elif file.is_dir():
            file.rmdir()
        file.write_bytes(good)
        assert await look(built, scrub, key) == Found.SOUND
        assert await built.database.read(fixity.finding_count) == 0
        assert len(await built.told(LedgerKind.FOOTAGE_SOUND)) == 1


async def test_a_disk_that_is_not_the_volume_tells_nothing(tmp_path: Path) -> None:
    async with scrubbed(tmp_path) as (built, scrub):
        key = await built.record("cam-a")
        built.file(key).unlink()
        (built.volumes[0].volume.path / "VOLUME.json").unlink()
        assert await look(built, scrub, key) == "its volume is away"
        assert await built.told(LedgerKind.FOOTAGE_ALTERED) == []


async def test_a_round_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    async with scrubbed(tmp_path) as (built, scrub):
        keys = [await built.record("cam-a", size=1000) for _ in range(6)]

        async def time_passes_until(scrub: Scrub, reached: Callable[[], Awaitable[bool]]) -> None:
            running = spawn("scrub", scrub.run())
            try:
                async with asyncio.timeout(60):
                    while not await reached():
                        built.clock.advance(600)
            finally:
                await cancel(running)

        async def third_read() -> bool:
            rows = await built.sql("SELECT seq FROM scrub")
            return bool(rows) and rows[0]["seq"] >= keys[2].seq

        async def found() -> set[str]:
            return {finding.segment for finding in await built.database.read(fixity.findings)}

        async def last_found() -> bool:
            return str(keys[5]) in await found()

        async def first_found() -> bool:
            return str(keys[0]) in await found()

        await time_passes_until(scrub, third_read)
        flip(built.file(keys[0]))  # behind its turn: found in the next round, not in this one
        flip(built.file(keys[5]))
        again = Scrub(built.database, built.clock, [built.volumes[0].volume], WITHIN_S)
        try:
            await time_passes_until(again, last_found)
            assert await found() == {str(keys[5])}
            await time_passes_until(again, first_found)
            (state,) = await built.database.read(fixity.progress)
            assert (state.rounds, state.ended_us is not None) == (1, True)
        finally:
            again.close()


async def test_a_finding_goes_with_its_row(tmp_path: Path) -> None:
    async with scrubbed(tmp_path) as (built, scrub):
        key = await built.record("cam-a")
        flip(built.file(key))
        assert await look(built, scrub, key) == Found.ALTERED
        built.clock.advance(40 * 86_400)
        assert (await built.one_pass()).erased == 1, "past its floor it goes like any other, with its entry"
        assert await built.database.read(fixity.finding_count) == 0


async def test_the_proof_of_a_day_says_altered_also_without_the_disk(tmp_path: Path) -> None:
    async with box(tmp_path) as site:
        await site.until(DAY_US)
        keys = await site.record(DAY_US, DAY_US + DAY)
        await site.until(DAY_US + DAY + 3600 * SECOND)
        await site.hours.one_pass()
        scrub = Scrub(site.house.database, site.house.clock, [each.volume for each in site.house.volumes], WITHIN_S)
        try:
            assert site.check(await site.bundle(tmp_path / "good"), files=False).verdict == "COMPLETE"
            flip(site.house.file(keys[3]))
            row = await site.house.database.read(find_segment, keys[3])
            assert row is not None
            assert row.state == SEALED
            assert row.camera_id == CAMERA
            assert await scrub.now([row]) == {str(keys[3]): "altered"}
        finally:
            scrub.close()
        bundle = await site.bundle(tmp_path / "bad")
        assert site.check(bundle, files=False).verdict == "ALTERED"
        assert site.check(bundle).verdict == "ALTERED"
        assert verify_bundle(bundle).verdict == "ALTERED"


def test_the_thread_is_idle_and_a_file_is_read_whole(tmp_path: Path) -> None:
    if not idle_thread():
        pytest.skip("this kernel gives no idle priority")
    content = os.urandom(3_000_001)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == (hashlib.sha256(content).hexdigest(), len(content))
