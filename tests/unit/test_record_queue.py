"""A volume's queue grows with the streams that are recorded to it."""

from edged.record.disk.volume import QUEUE_BYTES, queue_bytes_for


def test_many_streams_whose_fragments_come_at_once_do_not_fill_the_queue() -> None:
    fragment = 1024 * 1024  # two seconds at 4 Mbit/s
    for streams in (1, 16, 64, 256):
        assert queue_bytes_for(streams) >= max(QUEUE_BYTES, 4 * streams * fragment)
