"""`python -m simulators broker`: an MQTT 3.1.1 broker, for the demo and tests where mosquitto is not installed."""

import argparse
import asyncio
import json
import logging
import signal
import sys

from amqtt.broker import Broker
from amqtt.errors import BrokerError

PLUGINS = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}


def main(argv: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; prints one JSON line when ready. 2 where the port cannot be had."""
    parser = argparse.ArgumentParser(prog="simulators broker", description="An embedded MQTT 3.1.1 broker on loopback.")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)  # what clients do to it is their story
    try:
        asyncio.run(_serve(arguments.port))
    except (BrokerError, OSError) as error:
        print(f"simulators: broker: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    broker = Broker({"listeners": {"default": listener}, "plugins": PLUGINS})
    await broker.start()
    print(json.dumps({"ready": True, "port": port}), flush=True)
    await stop.wait()
    await broker.shutdown()
