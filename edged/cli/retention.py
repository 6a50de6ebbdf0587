"""edged retention: what is kept, for how long, and by which article."""

import argparse

from edged.cli.client import add_daemon_options, ask
from edged.cli.show import bytes_for_people, print_json, print_table


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    retention = commands.add_parser(
        "retention",
        help="floors, what is kept, and why something is still here or gone",
        description="A floor is a legal minimum: nothing younger is ever erased.",
    )
    retention.set_defaults(call=_list)
    add_daemon_options(retention)
    acts = retention.add_subparsers(metavar="ACT")
    listing = acts.add_parser("list", help="each camera's floor, with the rule that gives it, and what is kept")
    listing.set_defaults(call=_list)
    segments = acts.add_parser("segments", help="the files of a camera within a span")
    segments.add_argument("camera", metavar="CAMERA")
    segments.add_argument("--from", dest="start", metavar="TIME", help="ISO 8601 with offset")
    segments.add_argument("--to", dest="end", metavar="TIME", help="ISO 8601 with offset")
    segments.set_defaults(call=_segments)
    explain = acts.add_parser("explain", help="why a segment is still here, or why it was erased")
    explain.add_argument("segment", nargs="?", metavar="SEGMENT", help="a segment id, as `segments` prints it")
    explain.add_argument("--camera", metavar="CAMERA")
    explain.add_argument("--at", metavar="TIME", help="with --camera: ISO 8601 with offset")
    explain.set_defaults(call=_explain)
    for act in (listing, segments, explain):
        add_daemon_options(act, inner=True)


def _list(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "GET", "/v1/retention")
    if arguments.json:
        print_json(answer)
        return 0
    print_table(
        ("CAMERA", "FLOOR", "BY", "OLDEST", "SEGMENTS", "KEPT"),
        [
            (
                c["camera"],
                f"{c['floor_days']} d",
                ", ".join(c["rules"]),
                c["oldest"],
                c["segments"],
                bytes_for_people(c["bytes"]),
            )
            for c in answer["cameras"]
        ],
    )
    trusted = "trusted" if answer["clock"]["trusted"] else f"NOT trusted: {answer['clock']['why']}"
    print(f"retention clock: {answer['clock']['at']}, {trusted}")
    for warning in answer["warnings"]:
        print(f"! {warning}")
    return 0


def _segments(arguments: argparse.Namespace) -> int:
    query = {"camera": arguments.camera, "from": arguments.start, "to": arguments.end}
    answer = ask(arguments, "GET", "/v1/segments", query=query)
    if arguments.json:
        print_json(answer)
        return 0
    print_table(
        ("SEGMENT", "FROM", "SECONDS", "FRAMES", "SIZE", "STATE", "FILE"),
        [
            (
                s["id"],
                s["from"],
                f"{s['seconds']:.3f}",
                s["frames"],
                bytes_for_people(s["bytes"]),
                s["state"],
                s["file"],
            )
            for s in answer["segments"]
        ],
    )
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    query = {"segment": arguments.segment, "camera": arguments.camera, "at": arguments.at}
    answer = ask(arguments, "GET", "/v1/retention/explain", query=query)
    if arguments.json:
        print_json(answer)
        return 0
    for one in answer["explanations"]:
        print(f"{one['segment'] or '-'}: {one['standing']}; {one['because']}")
    return 0
