"""edged ledger: the head, a check of everything, and proofs that need nobody's word."""

import argparse
import base64
from pathlib import Path
from typing import Any

from edged.base.errors import EdgedError
from edged.cli.client import add_daemon_options, ask
from edged.cli.show import complain, count, print_json, print_table

VERIFY_SECONDS = 4 * 3600.0  # a million entries take about half a minute


class BadFile(EdgedError):
    """A file named on the command line cannot be used."""

    code = "CLI-020"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ledger = commands.add_parser(
        "ledger",
        help="the append-only log of everything done to footage: head, checks, proofs",
        description="Keep a head somewhere else (paper, MQTT, another office): whoever has an old one can find out "
        "whether the ledger was rewritten since.",
    )
    ledger.set_defaults(call=_head)
    add_daemon_options(ledger)
    acts = ledger.add_subparsers(metavar="ACT")
    head = acts.add_parser("head", help="the signed head and the public key")
    head.set_defaults(call=_head)
    verify = acts.add_parser(
        "verify", help="check every entry, the tree, every signed head, and the copies on the volumes"
    )
    verify.add_argument(
        "--mirror", type=Path, metavar="DIR", help="check a copy alone, without the daemon: VOLUME/ledger/RECORDER"
    )
    verify.add_argument("--key", type=Path, metavar="PEM", help="with --mirror: the public key, got by another way")
    verify.set_defaults(call=_verify)
    prove = acts.add_parser("prove", help="prove that a segment's hash stands in the ledger")
    prove.add_argument("--segment", required=True, metavar="SEGMENT", help="a segment id, as `retention segments` has")
    prove.add_argument("--out", type=Path, metavar="FILE", help="write the proof as C2SP tlog-proof text as well")
    prove.set_defaults(call=_prove)
    consistency = acts.add_parser("consistency", help="prove that the ledger continues an old head")
    consistency.add_argument("checkpoint", type=Path, metavar="OLD_CHECKPOINT", help="a file with the old signed head")
    consistency.add_argument("--key", type=Path, metavar="PEM", help="the public key, got by another way")
    consistency.add_argument(
        "--old-key",
        type=Path,
        metavar="PEM",
        help="the public key that signed the old head, where it was changed since",
    )
    consistency.set_defaults(call=_consistency)
    for act in (head, verify, prove, consistency):
        add_daemon_options(act, inner=True)


def read_file(path: Path) -> bytes:
    """The content of a file the user named. Raises BadFile."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path} cannot be read ({error.strerror})") from error


def write_file(path: Path, text: str) -> None:
    """Write a file the user named. Raises BadFile."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadFile(f"{path} cannot be written ({error.strerror})") from error


def _head(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "GET", "/v1/ledger")
    if arguments.json:
        print_json(answer)
        return 0
    print(answer["checkpoint"])
    print(f"public key: {answer['verifier_key']}")
    print(f"its fingerprint, as verify_retention.py shows it: {answer['fingerprint']}")
    rows = [(m["volume"], m["behind"] or "follows") for m in answer["mirrors"]]
    print_table(("VOLUME", "COPY"), rows, empty="no volume keeps a copy")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    if arguments.mirror is not None:
        return _verify_mirror(arguments)
    if arguments.key is not None:
        raise BadFile("--key is for a copy that is checked without the daemon", hint="name the copy: --mirror DIR")
    answer = ask(arguments, "GET", "/v1/ledger/verify", timeout=VERIFY_SECONDS)
    if arguments.json:
        print_json(answer)
    else:
        copies = "1 copy" if answer["mirrors"] == 1 else f"{answer['mirrors']} copies"
        print(f"{answer['entries']} entries, {count(answer['heads'], 'signed head')}, {copies} checked")
        _tell(answer["problems"])
    return 0 if answer["good"] else 1


def _verify_mirror(arguments: argparse.Namespace) -> int:
    from edged.prove.offline import check_mirror

    if not arguments.mirror.is_dir():
        raise BadFile(f"{arguments.mirror} is not a folder")
    check = check_mirror(arguments.mirror, read_file(arguments.key) if arguments.key else None)
    if arguments.json:
        size = check.head.size if check.head else None
        told = {"entries": check.entries, "signed": size, "problems": check.problems, "good": not check.problems}
        print_json(told)
    else:
        print(f"{check.entries} entries, of which {check.head.size if check.head else 0} under the signed head")
        _tell(check.problems)
    return 1 if check.problems else 0


def _tell(problems: list[str]) -> None:
    for problem in problems:
        complain(problem)
    if not problems:
        print("everything is as it was logged")


def _prove(arguments: argparse.Namespace) -> int:
    from edged.prove.proofs import named_in
    from edged.prove.verify_retention import leaf_hash, read_key, verify_checkpoint, verify_inclusion

    answer = ask(arguments, "GET", "/v1/ledger/proof", query={"segment": arguments.segment})
    head = verify_checkpoint(answer["checkpoint"], read_key(answer["key"].encode()))
    leaf = leaf_hash(answer["entry"].encode())
    good = verify_inclusion(leaf, answer["seq"] - 1, _hashes(answer), head)
    good = good and named_in(answer["entry"], answer["segment"]) == answer["sha256"]
    if arguments.out is not None:
        write_file(arguments.out, answer["tlog_proof"])
    if arguments.json:
        print_json({**answer, "good": good})
    elif good:
        print(f"{answer['segment']}: SHA-256 {answer['sha256']}")
        print(f"stands in entry {answer['seq']} of the {head.size} signed under {head.origin}")
        if answer["deleted_by"] is not None:
            print(f"deleted on record by entry {answer['deleted_by']}")
    if not good:
        complain(f"{answer['segment']}: the proof does not hold")
    return 0 if good else 1


def _consistency(arguments: argparse.Namespace) -> int:
    from edged.prove.verify_retention import Altered, UnknownSigner, read_key, verify_checkpoint, verify_consistency

    old_note = read_file(arguments.checkpoint).decode(errors="replace")
    answer = ask(arguments, "POST", "/v1/ledger/consistency", body={"checkpoint": old_note})
    pem = read_file(arguments.key) if arguments.key else answer["key"].encode()
    try:
        key = read_key(pem)
        old_key = read_key(read_file(arguments.old_key)) if arguments.old_key else key
        new = verify_checkpoint(answer["checkpoint"], key)
        old = verify_checkpoint(old_note, old_key)
    except UnknownSigner:
        which = "--old-key" if arguments.old_key else "the ledger's key; where that was changed, give --old-key"
        complain(f"the old head is not signed by {which}")
        return 1
    except Altered as error:
        complain(str(error))
        return 1
    good = verify_consistency(old, new, _hashes(answer))
    if arguments.json:
        print_json({**answer, "good": good})
    elif good:
        print(f"the ledger of {new.size} entries begins with the {old.size} of the old head")
    if not good:
        shorter = old.size > new.size
        what = f"it has only {new.size} entries, {old.size} were signed" if shorter else "its beginning was rewritten"
        complain(f"the ledger does not continue the old head: {what}")
    return 0 if good else 1


def _hashes(answer: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(one) for one in answer["hashes"]]
