"""An RTSP server not written here: GStreamer's, to be run by the system's python3 in a process of its own.

    /usr/bin/python3 gst_server.py [--codec h264|h265] [--audio aac|pcma|pcmu] [--transport tcp|udp] [--size WxH]
                                   [--user NAME --password WORD] [--tls CERTIFICATE KEY]

Shows a moving ball and plays 440 Hz. Prints one JSON line with the port when it listens on 127.0.0.1, and ends when its
standard input closes.
"""

import argparse
import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  (the versions must be named first)

SOURCE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width={width},height={height},framerate=25/1"
ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=50 bitrate=1000"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=50 bitrate=1000"
    " ! h265parse ! rtph265pay name=pay0 pt=96 config-interval=-1",
}
SOUND = "audiotestsrc is-live=true freq=440 volume=0.5 ! audio/x-raw,rate={rate},channels=1 ! audioconvert ! {pay}"
AUDIO = {
    "aac": (48_000, "voaacenc bitrate=64000 ! aacparse ! rtpmp4gpay name=pay1 pt=97"),
    "pcma": (8_000, "alawenc ! rtppcmapay name=pay1 pt=8"),
    "pcmu": (8_000, "mulawenc ! rtppcmupay name=pay1 pt=0"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--audio", choices=AUDIO)
    parser.add_argument("--transport", choices=("tcp", "udp"), default="tcp")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    asked = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(asked))
    # A shared media would begin in the middle of a GOP for the second client, unlike a camera.
    factory.set_shared(False)
    lower = GstRtsp.RTSPLowerTrans
    factory.set_protocols(lower.UDP if asked.transport == "udp" else lower.TCP)
    if asked.user or asked.tls:
        protect(server, factory, asked)
    server.get_mount_points().add_factory("/main", factory)
    if not server.attach(None):
        sys.exit("no port could be listened on")
    # Without this the server never ends a session whose client is gone.
    GLib.timeout_add_seconds(2, lambda: bool(server.get_session_pool().cleanup()) or True)
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP | GLib.IO_IN, lambda *_: loop.quit())
    print(json.dumps({"port": server.get_bound_port()}), flush=True)
    loop.run()


def pipeline(asked: argparse.Namespace) -> str:
    width, _, height = asked.size.partition("x")
    branches = [f"{SOURCE.format(width=width, height=height)} ! {ENCODERS[asked.codec]}"]
    if asked.audio:
        rate, pay = AUDIO[asked.audio]
        branches.append(SOUND.format(rate=rate, pay=pay))
    return f"( {' '.join(branches)} )"


def protect(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, asked: argparse.Namespace
) -> None:
    """Digest where there is a user, TLS where there is a certificate; whoever passes these may see everything."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if asked.tls:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(*asked.tls))
    if asked.user:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(asked.user, asked.password, token)
    else:
        auth.set_default_token(token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
