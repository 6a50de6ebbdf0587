"""edged retention: what is kept, for how long, and by which article."""

import argparse
from typing import Any
from urllib.parse import urlencode

from edged.cli.client import add_daemon_options, ask
from edged.cli.explained import explained
from edged.cli.show import bytes_for_people, complain, for_people, print_json, print_table, time_for_people


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    retention = commands.add_parser(
        "retention",
        help="floors, what is kept, and why something is still here or gone",
        description="A floor is a legal minimum: nothing younger is ever deleted.",
    )
    retention.set_defaults(call=_list)
    add_daemon_options(retention)
    acts = retention.add_subparsers(metavar="ACT")
    listing = acts.add_parser("list", help="each camera's floor, with the rule that gives it, and what is kept")
    listing.set_defaults(call=_list)
    segments = acts.add_parser("segments", help="the files of a camera within a span")
    segments.add_argument("camera", metavar="CAMERA", help="the camera's id")
    segments.add_argument("--from", dest="start", metavar="TIME", help="ISO 8601 with offset; default: the oldest")
    segments.add_argument("--to", dest="end", metavar="TIME", help="ISO 8601 with offset; default: now")
    segments.set_defaults(call=_segments)
    explain = acts.add_parser(
        "explain",
        help="why a segment is still here, or why it was deleted",
        description="With the dates, the articles in their own words, the holds, and the ledger entry of a deletion.",
    )
    explain.add_argument("segment", nargs="?", metavar="SEGMENT", help="a segment id, as `segments` prints it")
    explain.add_argument("--camera", metavar="CAMERA", help="with --at: the camera's id")
    explain.add_argument("--at", metavar="TIME", help="with --camera: ISO 8601 with offset")
    explain.set_defaults(call=_explain)
    clock = acts.add_parser("clock", help="the clock that deletion asks")
    clock_acts = clock.add_subparsers(metavar="ACT", required=True)
    confirm = clock_acts.add_parser(
        "confirm",
        help="vouch for this box's clock where no time service does; two people, within an hour",
        description="The retention clock moves to the wall clock once two different people have confirmed that it is "
        "right. Compare it with a clock that does not depend on this box. Both words enter the ledger.",
    )
    confirm.add_argument("--by", required=True, metavar="PERSON", help="who confirms")
    confirm.set_defaults(call=_confirm)
    plan = acts.add_parser(
        "plan",
        help="whether the disks are large enough for the law; exit code 1 where they are not",
        description="From the rates measured over the last day: how many days each volume's room lasts, against the "
        "floors; what the floors need; and when a disk that is too small will be full.",
    )
    plan.add_argument(
        "--add-camera",
        action="append",
        type=_bits,
        default=[],
        metavar="BITRATE",
        help="with one more camera: 4M, 800k; repeat it",
    )
    plan.set_defaults(call=_plan)
    for act in (listing, segments, explain, confirm, plan):
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
                time_for_people(c["oldest"]),
                c["segments"],
                bytes_for_people(c["bytes"]),
            )
            for c in answer["cameras"]
        ],
        empty="no camera is known",
    )
    clock = answer["clock"]
    trusted = "trusted" if clock["trusted"] else "NOT trusted"
    print(f"retention clock: {time_for_people(clock['at'])}, {trusted}: {clock['why']}")
    if answer["refused"] and answer["refused"] != clock["why"]:
        print(f"! nothing is deleted: {answer['refused']}")
    for volume, why in sorted(answer["volumes"].items()):
        print(f"! volume {volume}: {why}")
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
        empty="nothing is kept of that span: `edged retention explain --camera CAMERA --at TIME` says why",
    )
    if not answer["complete"]:
        print(f"only the first {len(answer['segments'])} are shown: ask for a shorter span with --from and --to")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    added = urlencode([("add", bits) for bits in arguments.add_camera])
    answer = ask(arguments, "GET", f"/v1/retention/plan{'?' if added else ''}{added}")
    enough = all(volume["enough"] for volume in answer["volumes"]) and not answer["unknown"]
    if arguments.json:
        print_json(answer)
        return 0 if enough else 1
    print_table(
        ("CAMERA", "VOLUME", "KBIT/S", "FLOOR", "ROOM FOR", "ENOUGH"),
        [
            (
                c["camera"],
                c["volume"],
                c["bits_per_s"] // 1000 or None,
                f"{c['floor_days']} d",
                "-" if c["days"] is None else f"{c['days']:.1f} d",
                ("yes" if c["enough"] else "NO") if c["bits_per_s"] else None,
            )
            for c in answer["cameras"]
        ],
        empty="no camera is recorded",
    )
    print_table(
        ("VOLUME", "KBIT/S", "ROOM", "THE LAW NEEDS", "ENOUGH", "FULL"),
        [
            (
                v["volume"],
                v["bits_per_s"] // 1000 or None,
                bytes_for_people(v["room_bytes"]),
                bytes_for_people(v["needed_bytes"]) if v["bits_per_s"] else None,
                ("yes" if v["enough"] else "NO") if v["bits_per_s"] else None,
                time_for_people(v["full"]),
            )
            for v in answer["volumes"]
        ],
        empty="no volume can be asked",
    )
    for volume in answer["volumes"]:
        before = volume["without"]
        if before is not None and before["bits_per_s"] != volume["bits_per_s"]:
            print(f"volume {volume['volume']}: {_changed(before, volume)}")
        if not volume["enough"]:
            print(f"! {_short(volume)}")
    unmeasured = [c["camera"] for c in answer["cameras"] if c["recording"] and not c["bits_per_s"]]
    if unmeasured:
        print(f"! no rate is known yet of {', '.join(unmeasured)}: it takes a minute of footage")
    for volume in answer["unknown"]:
        print(f"! volume {volume}: its free space is not known, so nothing is planned on it")
    return 0 if enough else 1


def _changed(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What added cameras change on their volume."""
    more = bytes_for_people(after["needed_bytes"] - before["needed_bytes"])
    enough = "enough" if before["enough"] else "not enough either"
    return f"with what is added the law needs {more} more; without it the volume is {enough}"


def _short(volume: dict[str, Any]) -> str:
    lacks = bytes_for_people(volume["needed_bytes"] - volume["room_bytes"])
    until = "it is not full within the next year, as what passes its floor makes room"
    if volume["full"] is not None:
        until = f"it will be full of footage that must stay in {for_people(volume['full_in_days'] * 86_400)}"
    return f"volume {volume['volume']} lacks {lacks} of what the law needs; {until}"


def _bits(text: str) -> float:
    """Bits a second of "4M", "800k" or "4000000"."""
    scale = {"k": 1000, "M": 1_000_000}.get(text[-1:], 1)
    try:
        return float(text[:-1] if scale > 1 else text) * scale
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a bit rate; write it like 4M, 800k or 4000000") from None


def _confirm(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "POST", "/v1/retention/clock/confirm", body={"by": arguments.by})
    if arguments.json:
        print_json(answer)
    elif answer["complete"]:
        print(f"retention clock: {time_for_people(answer['at'])}, {answer['why']}")
    else:
        print(f"the wall clock {time_for_people(answer['wall'])} is confirmed by one; {answer['why']}")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    if (arguments.segment is None) == (arguments.camera is None) or (arguments.camera is None) != (
        arguments.at is None
    ):
        complain("name a SEGMENT, or --camera CAMERA with --at TIME")
        return 2
    query = {"segment": arguments.segment, "camera": arguments.camera, "at": arguments.at}
    answer = ask(arguments, "GET", "/v1/retention/explain", query=query)
    if arguments.json:
        print_json(answer)
        return 0
    for one in answer["explanations"]:
        for line in explained(one):
            print(line)
    if answer["unread"]:
        # Else what lies on a disk that is away would be called never recorded.
        volumes = ", ".join(answer["unread"])
        print(f"! the index was lost or is old, and volume {volumes} has not been read since: this may not be all")
    clock = answer["clock"]
    print(f"the clock that deletion asks: {clock['at'] or 'not started'}{'' if clock['trusted'] else ', NOT trusted'}")
    return 0
