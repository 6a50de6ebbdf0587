"""The benchmark's PyAV contender: one process, one thread per camera, stream copy into fragmented MP4.

    python -m tests.bench.pyav_peer FOLDER RTSP-URL...

Ends with SIGTERM. Files are cut on the first keyframe after 60 s, as the other contenders do.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import av.logging

SEGMENT_SECONDS = 60.0
_MOVFLAGS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}


def record(url: str, folder: Path, number: int) -> None:
    """Copy the camera's video until the process ends."""
    with av.open(url, options={"rtsp_transport": "tcp"}) as source:
        video = source.streams.video[0]
        out: Any = None
        copy: Any = None
        began, part = 0.0, 0
        for packet in source.demux(video):
            if packet.dts is None:
                continue
            if packet.is_keyframe and (out is None or time.monotonic() - began >= SEGMENT_SECONDS):
                if out is not None:
                    out.close()
                out = av.open(str(folder / f"cam-{number}-{part:03d}.mp4"), "w", format="mp4", options=_MOVFLAGS)
                copy = out.add_stream_from_template(video)
                began, part = time.monotonic(), part + 1
            if out is not None:
                packet.stream = copy
                out.mux(packet)


def main() -> int:
    av.logging.restore_default_callback()  # libav's log through Python's has a history of deadlocks between threads
    folder, urls = Path(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for number, url in enumerate(urls):
        threading.Thread(target=record, args=(url, folder, number), daemon=True).start()
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
