"""edged run, edged recorder, edged check-config."""

import argparse
from pathlib import Path

from edged.cli.show import print_json

DEFAULT_CONFIG = Path("/etc/edged/edged.toml")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser(
        "run",
        help="the controller: everything but the recording itself",
        description="Finds cameras, tells the recorder what to record, indexes, keeps, watches and reports. "
        "Starts a recorder of its own unless --external-recorder; a recorder that still runs is taken over, and "
        "killing the controller never touches it.",
    )
    config_option(run)
    run.add_argument(
        "--external-recorder", action="store_true", help="a service manager runs `edged recorder`; do not start one"
    )
    _log_option(run)
    run.set_defaults(call=_run)

    recorder = commands.add_parser(
        "recorder",
        help="the recorder: camera streams to disk, and nothing else",
        description="Records what <state-dir>/assignment-<id>.json asks for. Needs neither the controller, the "
        "database nor the broker; follows the file when it changes. On SIGHUP it starts a successor "
        "and hands over to it.",
    )
    recorder.add_argument("--id", default="nvr", help="the recorder's id, recorder.id in the configuration")
    recorder.add_argument(
        "--takeover",
        action="store_true",
        help="take over from the recorder that runs under this id, stream by stream, as after an upgrade",
    )
    recorder.add_argument(
        "--state-dir", type=Path, default=Path("/var/lib/edged"), metavar="DIR", help="default /var/lib/edged"
    )
    recorder.add_argument(
        "--runtime-dir", type=Path, default=Path("/run/edged"), metavar="DIR", help="default /run/edged"
    )
    _log_option(recorder)
    recorder.set_defaults(call=_recorder)

    check = commands.add_parser(
        "check-config",
        help="read a configuration and say what is wrong with it",
        description="Reads the file, and touches nothing. Exit code 0: good; 2: refused, with each line, key, "
        "reason and fix.",
    )
    config_option(check)
    check.add_argument("--json", action="store_true", help="print JSON, for scripts")
    check.set_defaults(call=_check)


def config_option(parser: argparse.ArgumentParser) -> None:
    """Which configuration to read."""
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"default {DEFAULT_CONFIG}")


def _log_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default info"
    )


def _run(arguments: argparse.Namespace) -> int:
    from edged.app import run_controller
    from edged.base.log import set_up_logging
    from edged.config import load_config

    config = load_config(arguments.config)
    set_up_logging(arguments.log_level)
    return run_controller(config, external_recorder=arguments.external_recorder, log_level=arguments.log_level)


def _recorder(arguments: argparse.Namespace) -> int:
    from edged.base.log import set_up_logging
    from edged.record.main import run_recorder_process

    set_up_logging(arguments.log_level)
    return run_recorder_process(arguments.id, arguments.state_dir, arguments.runtime_dir, takeover=arguments.takeover)


def _check(arguments: argparse.Namespace) -> int:
    from zoneinfo import ZoneInfo

    from edged.base.clock import SystemClock
    from edged.cli.show import complain
    from edged.config import BadConfig, load_config
    from edged.config.load import refuse
    from edged.law.counting import local_date
    from edged.law.own import below_the_law
    from edged.law.packs import load_packs, shipped_packs

    try:
        config = load_config(arguments.config)
        packs = load_packs(config.retention.rule_packs or shipped_packs())
        today = local_date(SystemClock().wall_us(), ZoneInfo(config.site.timezone))
        refuse(arguments.config, below_the_law(config, packs, today))
    except BadConfig as error:
        if arguments.json:
            print_json({"ok": False, "problems": error.problems})
        else:
            for problem in error.problems:
                complain(problem)
        return 2
    known = packs.known(config.site.jurisdiction)
    if arguments.json:
        print_json({"ok": True, "problems": [], "jurisdiction_known": known})
        return 0
    print(f"{arguments.config}: good")
    if not known:
        print(f"no rule pack is named {config.site.jurisdiction}: everything will be kept 30 days")
    return 0
