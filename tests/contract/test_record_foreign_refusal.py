"""Nobody answers at a camera's address: the log and the journal say so, and never where that is (I9)."""

import logging
from pathlib import Path

import pytest

from edged.model import StreamState
from tests.recorder_kit import Site, stream_of

NOBODY = "127.3.2.1"  # loopback, where nothing listens


async def test_i9_a_camera_that_cannot_be_reached_is_not_named_by_its_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site = Site(tmp_path)
    site.record("away", f"rtsp://{NOBODY}:9/main")
    site.assign()
    async with site.recorder():
        status = await site.status(lambda status: bool(status.streams) and status.streams[0].state is StreamState.DOWN)
    assert stream_of(status, "away").cause == "unreachable"
    assert "camera away/main is not being recorded" in caplog.text
    assert NOBODY not in caplog.text
    assert not any(NOBODY in str(fact) for fact in site.facts())
