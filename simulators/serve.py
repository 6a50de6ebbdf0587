"""`python -m simulators fleet`: cameras until SIGTERM or SIGINT; prints one JSON line when they are ready."""

import argparse
import asyncio
import json
import signal
import sys

from simulators.auth import AUTH_SCHEMES
from simulators.control import control_channel
from simulators.film import CODECS, ClipError
from simulators.fleet import Fleet
from simulators.mischief import QUIRKS
from simulators.onvif_server import AUTH_KINDS
from simulators.options import PACINGS, TRANSPORTS, FleetOptions, OptionError
from simulators.sound import SOUNDS


def main(argv: list[str]) -> int:
    """Exit code 0 after an orderly end, 2 with a sentence where the fleet cannot be as asked."""
    asked = vars(_make_parser().parse_args(argv))
    control = asked.pop("control")
    asked["quirks"] = tuple(asked["quirks"])
    try:
        asyncio.run(_serve(FleetOptions(**asked), control))
    except (OptionError, ClipError, OSError) as error:
        print(f"simulators: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(options: FleetOptions, control: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Fleet(options) as fleet, control_channel(fleet, control) as where:
        cards = [camera.card() for camera in fleet.cameras]
        ready = {"ready": True, "control": where, "cameras": cards}
        if fleet.ca is not None:
            ready["ca"] = str(fleet.ca)
        print(json.dumps(ready), flush=True)
        await stop.wait()


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulators fleet", description="Run simulated ONVIF cameras.")
    add = parser.add_argument
    default = FleetOptions()
    add("--cameras", type=int, default=default.cameras, metavar="N")
    add("--bitrate", default=default.bitrate, help="bits per second, such as 500k or 4M (default %(default)s)")
    add("--fps", type=int, default=default.fps)
    add("--gop", type=int, default=default.gop, help="frames from keyframe to keyframe (default %(default)s)")
    add("--size", default=default.size, help="default %(default)s")
    add("--subnet", default=default.subnet, help="camera N is at SUBNET.N (default %(default)s)")
    add("--interface", default=default.interface, help="where discovery is heard (default %(default)s)")
    add("--seed", type=int, help="the same identities and losses every time (default: others every time)")
    add("--username", default=default.username)
    add("--password", default=default.password)
    add("--auth", choices=tuple(AUTH_SCHEMES), default=default.auth, help="of RTSP (default %(default)s)")
    add("--onvif-auth", choices=AUTH_KINDS, default=default.onvif_auth)
    add("--no-onvif", dest="onvif", action="store_false", help="only RTSP: no ONVIF, no discovery")
    add("--no-multicast", dest="multicast", action="store_false", help="answer only unicast probes")
    add("--clock-offset", type=float, default=0.0, metavar="SECONDS", help="how wrong the cameras' own clocks are")
    add("--session-timeout", type=float, default=default.session_timeout, metavar="SECONDS")
    add("--nonce-lifetime", type=float, metavar="SECONDS", help="after this a digest nonce is stale (default: never)")
    add("--codec", choices=CODECS, default=default.codec, help="default %(default)s")
    add("--bframes", type=int, default=default.bframes, metavar="N", help="B-frames in a row (default %(default)s)")
    add("--open-gop", action="store_true", help="keyframes are recovery points or CRA pictures (needs --bframes)")
    add("--long-gop", type=float, metavar="SECONDS", help="from keyframe to keyframe, instead of --gop")
    add("--audio", choices=SOUNDS, default=default.audio, help="a second track (default %(default)s)")
    add("--metadata", action="store_true", help="a track of ONVIF metadata")
    add("--transport", choices=tuple(TRANSPORTS), default=default.transport, help="what SETUP takes (%(default)s)")
    add("--tls", action="store_true", help="also RTSP over TLS on a port of its own")
    add("--slots", type=int, metavar="N", help="sessions a camera serves at once (default: any number)")
    add("--pacing", choices=PACINGS, default=default.pacing, help="how a frame's packets leave (default %(default)s)")
    add("--quirk", action="append", dest="quirks", choices=tuple(QUIRKS), default=[], help="repeatable: %(choices)s")
    add("--control", default="127.0.0.1:0", metavar="ADDRESS", help="HOST:PORT or path (default %(default)s)")
    return parser
