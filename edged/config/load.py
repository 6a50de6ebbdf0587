"""From a file to records, or to a refusal that names the line, the key, the reason and the fix.

Only volumes, named files and folders are looked at on the disk; nothing is created or changed.
"""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edged.base.errors import OwnerMustAct
from edged.config.records import Config

Key = tuple[str | int, ...]
Problem = tuple[Key, str, str]  # where, what is wrong, what to do
_CONFIDENTIAL = {"password", "login", "url", "sub_url", "username", "redirect_hosts"}


class BadConfig(OwnerMustAct):
    """The configuration cannot be used. `problems` has one sentence for each thing that is wrong."""

    code = "CFG-001"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load_config(path: Path) -> Config:
    """Read, check and freeze the file at `path`. Raises BadConfig."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        hint = "name an existing file with --config"
        if isinstance(error, PermissionError):
            hint = "the user that edged runs as must be able to read it, such as root:edged with mode 0640"
        raise BadConfig([f"{path}: cannot be read ({error.strerror}); {hint}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig([f"{path}: is not TOML: {error}"]) from error
    lines = key_lines(text)
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise BadConfig([_sentence(path, lines, raw, found) for found in error.errors()]) from None
    if problems := _located(path, lines, _on_disk(config)):
        raise BadConfig(problems)
    return config


def refuse(path: Path, problems: list[Problem]) -> None:
    """Raises BadConfig where there are `problems`, found by others in what `load_config(path)` returned."""
    if problems:
        raise BadConfig(_located(path, key_lines(path.read_text(encoding="utf-8")), problems))


def _located(path: Path, lines: dict[Key, int], problems: list[Problem]) -> list[str]:
    return [f"{path}:{line_of(lines, key)}: {dotted(key)}: {reason}; {fix}" for key, reason, fix in problems]


def key_lines(text: str) -> dict[Key, int]:
    """Which line each key of a TOML text stands on. Array tables count from 0."""
    lines: dict[Key, int] = {}
    table: Key = ()
    counts: dict[Key, int] = {}
    closing = ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if closing:
            if closing in stripped:
                closing = ""
            continue
        if header := re.match(r"\[\[\s*([\w.\-\"' ]+?)\s*\]\]", stripped):
            base = _parts(header[1])
            counts[base] = counts.get(base, -1) + 1
            table = (*base, counts[base])
            lines[table] = number
        elif header := re.match(r"\[\s*([\w.\-\"' ]+?)\s*\]", stripped):
            table = _under(counts, _parts(header[1]))
            lines[table] = number
        elif entry := re.match(r"([\w.\-\"' ]+?)\s*=\s*(.*)", stripped):
            lines[(*table, *_parts(entry[1]))] = number
            for quotes in ('"""', "'''"):
                if entry[2].count(quotes) == 1:
                    closing = quotes
    return lines


def _parts(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _under(counts: dict[Key, int], parts: Key) -> Key:
    """`parts` of a [table] header, with the index of the array table it belongs to."""
    for depth in range(len(parts), 0, -1):
        if parts[:depth] in counts:
            return (*parts[:depth], counts[parts[:depth]], *parts[depth:])
    return parts


def line_of(lines: dict[Key, int], key: Key) -> int:
    """The line of `key`, or of the nearest table above it that is written; 1 where none is."""
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 1)


def dotted(key: Key) -> str:
    """A key as people write it, such as camera[0].url."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _sentence(path: Path, lines: dict[Key, int], raw: Any, found: Any) -> str:
    key: Key = found["loc"]
    where = f"{path}:{line_of(lines, key)}: {dotted(key)}"
    if found["type"] == "extra_forbidden":
        known = sorted(_fields_at(key[:-1]))
        near = difflib.get_close_matches(str(key[-1]), known, n=1)
        return f"{where}: unknown key; " + (f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}")
    if found["type"] == "missing":
        return f"{where}: is missing; add it (see config/edged.example.toml)"
    written = _written(raw, key)
    # The value itself may be a secret or an address; only plain scalars elsewhere are repeated.
    secret = any(part in _CONFIDENTIAL for part in key)
    shown = f" (found {written!r})" if isinstance(written, str | int | float) and not secret else ""
    return f"{where}: {_reason(found, written)}{shown}"


def _reason(found: Any, written: object) -> str:
    unit = "s" if isinstance(written, str) else ""
    limits = found.get("ctx", {})
    if "le" in limits:
        return f"must be at most {limits['le']:g}{unit}"
    if "ge" in limits:
        return f"must be at least {limits['ge']:g}{unit}"
    return str(found["msg"]).removeprefix("Value error, ")


def _written(raw: Any, key: Key) -> object:
    """What stands in the file at `key`, or None."""
    for part in key:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _fields_at(key: Key) -> set[str]:
    model: type[BaseModel] = Config
    for part in key:
        if isinstance(part, int):
            continue
        inner = _model_in(model.model_fields[part].annotation) if part in model.model_fields else None
        if inner is None:
            return set()
        model = inner
    return set(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (model := _model_in(argument)) is not None:
            return model
    return None


def _on_disk(config: Config) -> list[Problem]:
    problems: list[Problem] = []
    for index, volume in enumerate(config.volume):
        if not volume.path.is_dir():
            problems.append((("volume", index, "path"), f"there is no folder {volume.path}", "mount or create it"))
    logins: list[tuple[Key, Any]] = [(("discovery", "login"), config.discovery.login)]
    logins += [(("camera", index, "login"), camera.login) for index, camera in enumerate(config.camera)]
    logins.append((("mqtt", "login"), config.mqtt.login if config.mqtt else None))
    for key, login in logins:
        if login is not None and login.password_file is not None and not login.password_file.is_file():
            problems.append(
                ((*key, "password_file"), "there is no such file", "create it with mode 0600 and the password inside")
            )
    authorities: list[tuple[Key, Path | None]] = [(("recorder", "tls_ca"), config.recorder.tls_ca)]
    authorities += [(("camera", index, "tls_ca"), camera.tls_ca) for index, camera in enumerate(config.camera)]
    for key, file in authorities:
        if file is not None and not file.is_file():
            problems.append((key, f"there is no file {file}", "name a file of PEM certificates"))
    packs = config.retention.rule_packs
    if packs is not None and not packs.is_dir():
        problems.append((("retention", "rule_packs"), f"there is no folder {packs}", "leave the key out to use ours"))
    return problems
