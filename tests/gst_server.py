"""An RTSP server not written here: GStreamer's, to be run by the system's python3 in a process of its own.

    /usr/bin/python3 gst_server.py [--user NAME --password WORD]

Prints one JSON line with the port when it listens on 127.0.0.1, and ends when its standard input closes.
"""

import argparse
import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  (the versions must be named first)

PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=50 bitrate=1000"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--user")
    parser.add_argument("--password")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    # A shared media would begin in the middle of a GOP for the second client, unlike a camera.
    factory.set_shared(False)
    if arguments.user:
        protect(server, factory, arguments.user, arguments.password)
    server.get_mount_points().add_factory("/main", factory)
    server.attach(None)
    # Without this the server never ends a session whose client is gone.
    GLib.timeout_add_seconds(2, lambda: bool(server.get_session_pool().cleanup()) or True)
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP | GLib.IO_IN, lambda *_: loop.quit())
    print(json.dumps({"port": server.get_bound_port()}), flush=True)
    loop.run()


def protect(
    server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, user: str, password: str
) -> None:
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
