"""Programs that play recordings and are not written here: VLC, and Chromium's media source."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import av
import pytest

NOBODY = 65534
PATIENCE_S = 60.0
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--autoplay-policy=no-user-gesture-required",
)
PAGE = """<!doctype html><video id=v muted></video><script>
const v = document.getElementById('v'), mime = MIME, told = {};
const tell = () => fetch('/told', {method: 'POST', body: JSON.stringify(told)});
const fail = (what) => { told.error = String(what) + ' ' + (v.error ? v.error.message : ''); tell(); };
const happens = (target, name) => new Promise((done, wrong) => {
  target.addEventListener(name, done, {once: true});
  target.addEventListener('error', () => wrong(name), {once: true});
});
(async () => {
  const source = new MediaSource();
  v.src = URL.createObjectURL(source);
  await happens(source, 'sourceopen');
  const buffer = source.addSourceBuffer(mime);
  const bytes = await (await fetch('/segment')).arrayBuffer();
  const appended = happens(buffer, 'updateend');
  buffer.appendBuffer(bytes);
  await appended;
  source.endOfStream();
  told.start = v.buffered.start(0);
  told.spans = v.buffered.length;
  told.end = v.buffered.end(v.buffered.length - 1);
  const ended = happens(v, 'ended');
  v.currentTime = told.start;
  await v.play();
  await ended;
  told.frames = v.getVideoPlaybackQuality().totalVideoFrames;
  told.size = [v.videoWidth, v.videoHeight];
  const seeked = happens(v, 'seeked');
  v.currentTime = (told.start + told.end) / 2;
  await seeked;
  told.sought = v.currentTime;
  await tell();
})().catch(fail);
</script>"""


def vlc_command(*arguments: str) -> list[str]:
    """VLC without a window, as a user it agrees to run as; skips the test where that cannot be."""
    if shutil.which("cvlc") is None:
        pytest.skip("VLC is not installed (Debian: vlc-bin, vlc-plugin-base)")
    command = ["cvlc", "--intf", "dummy", "--no-media-library", "--play-and-exit", *arguments]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("VLC does not run as root, and setpriv is not installed (Debian: util-linux)")
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", *command]
    return command


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that VLC may read and write as another user."""
    with tempfile.TemporaryDirectory(prefix="vlc-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def vlc_environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}


def vlc_unpacks(file: Path, folder: Path) -> dict[str, Path]:
    """The elementary streams that VLC's own MP4 demuxer finds in `file`. `folder`: see `open_folder`.

    Written raw: VLC's multiplexers wait for the slower track, and drop the last frames of the other at the end.
    """
    source = folder / file.name
    shutil.copy(file, source)
    source.chmod(0o644)
    streams = {kind: folder / f"{file.stem}.{kind}" for kind in ("video", "audio")}
    places = ",".join(f"access-{kind}=file,mux-{kind}=dummy,dst-{kind}={path}" for kind, path in streams.items())
    command = vlc_command("--demux=mp4", "--sout-all", f"--sout=#es{{{places}}}", str(source), "vlc://quit")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=vlc_environment(folder)
    )
    assert streams["video"].is_file(), done.stderr[-2000:]
    return {kind: path for kind, path in streams.items() if path.is_file()}


async def chromium_plays(file: Path, profile: Path) -> dict[str, Any]:
    """What Chromium's media source tells of `file`, played from its beginning to its end."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    loop = asyncio.get_running_loop()
    told: asyncio.Future[dict[str, Any]] = loop.create_future()
    page = PAGE.replace("MIME", json.dumps(mime_type(file))).encode()
    handler = partial(_Desk, page, file.read_bytes(), lambda found: loop.call_soon_threadsafe(told.set_result, found))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        process = await asyncio.create_subprocess_exec(
            *(browser, *QUIET, f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await told
        finally:
            process.terminate()
            await process.wait()
    finally:
        server.shutdown()
        server.server_close()


def mime_type(file: Path) -> str:
    """With the codecs of RFC 6381, which a media source wants to know beforehand."""
    with av.open(str(file)) as container:
        record = container.streams.video[0].codec_context.extradata
        sound = [stream.codec_context.name for stream in container.streams.audio]
    assert record is not None
    codecs = [f"avc1.{record[1:4].hex()}", *("mp4a.40.2" for name in sound if name == "aac")]
    return f'video/mp4; codecs="{", ".join(codecs)}"'


class _Desk(BaseHTTPRequestHandler):
    """Hands out the page and the segment, and takes what the page has to tell."""

    def __init__(self, page: bytes, segment: bytes, tell: Any, *arguments: Any) -> None:
        self._pages = {"/": ("text/html", page), "/segment": ("video/mp4", segment)}
        self._tell = tell
        super().__init__(*arguments)

    def do_GET(self) -> None:
        kind, body = self._pages.get(self.path, ("text/plain", b""))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self._tell(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""
