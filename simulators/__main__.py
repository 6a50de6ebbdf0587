"""`python -m simulators COMMAND`: each command is a `main(argv) -> exit code` in a module imported on demand."""

import importlib
import sys

COMMANDS = {
    "fleet": ("simulators.serve:main", "run simulated cameras"),
    "fault": ("simulators.control:main_fault", "unplug, stall, refuse, ... a camera of a running fleet"),
    "stats": ("simulators.control:main_stats", "what each camera of a running fleet has sent"),
    "broker": ("simulators.broker:main", "an embedded MQTT broker, where mosquitto is not installed"),
    "demo": ("simulators.demo:main", "edged beside four cameras, told as a story"),
    "judge": ("simulators.judge:main", "prove from recorded files that no frame is missing, doubled or reordered"),
}


def main(argv: list[str]) -> int:
    """Hand the arguments to the command's own main. 2 where there is no such command."""
    if argv and argv[0] in COMMANDS:
        module, _, function = COMMANDS[argv[0]][0].partition(":")
        command = getattr(importlib.import_module(module), function)
        return int(command(argv[1:]))
    asked_for_help = bool(argv) and argv[0] in ("-h", "--help")
    out = sys.stdout if asked_for_help else sys.stderr
    if argv and not asked_for_help:
        print(f"simulators: no command is called {argv[0]!r}", file=out)
    print("usage: python -m simulators COMMAND ...   (each takes --help)", file=out)
    for name, (_, what) in COMMANDS.items():
        print(f"  {name:<7}{what}", file=out)
    return 0 if asked_for_help else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
