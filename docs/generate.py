"""Writes the parts of docs/reference that are made of the code, and the README's figures: ``make docs``.

A page is written by hand; what stands in it between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is replaced.
``python -m docs.generate --check`` changes nothing and fails where a page is not as the code has it.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import sys
import tempfile
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any

from benchmarks import beside_peers

REFERENCE = Path(__file__).parent / "reference"
README = Path(__file__).parent.parent / "README.md"
_PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}


def main() -> int:
    check = "--check" in sys.argv[1:]
    wrong = 0
    for page in [*sorted(REFERENCE.glob("*.md")), README]:
        old = page.read_text()
        new = fill(old)
        if new == old:
            continue
        if check:
            wrong += 1
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), page.name, "code"))
        else:
            page.write_text(new)
            print(page)
    return 1 if wrong else 0


def fill(page: str) -> str:
    """The page with its generated parts made anew. Raises KeyError for a name that is none of PARTS."""
    return _PART.sub(lambda part: part[1] + "\n" + PARTS[part[2]]().strip() + "\n\n" + part[3], page)


def settings() -> str:
    from windlass.conf import Settings

    lines, known, hints = [], {field.name: field for field in fields(Settings)}, typing.get_type_hints(Settings)
    for line in inspect.getsource(Settings).splitlines():
        if heading := re.fullmatch(r"    # (.+)", line):
            lines += ["", f"## {heading[1]}", "", "| setting | kind | default | what it does |", "|---|---|---|---|"]
        elif (found := re.match(r"    (\w+): ", line)) and found[1] in known:
            field = known[found[1]]
            default = _default(field.metadata["default"])
            lines.append(_row(f"`{field.name.upper()}`", _kind(hints[field.name]), default, field.metadata["doc"]))
    return "\n".join(lines)


def problems() -> str:
    from windlass.kernel.problem_types import all_problems

    rows = (
        (f"`/problems/{kind.slug}`", str(kind.status), kind.title, "yes" if kind.transient else "no")
        for kind in all_problems()
    )
    return _table(("type", "status", "title", "may the same request succeed later?"), rows)


def exit_codes() -> str:
    from windlass.cli.exit_codes import ExitCode

    return _values(ExitCode, "code")


def events() -> str:
    from windlass.events.types import EventType

    return _values(EventType, "event")


def close_codes() -> str:
    from windlass.http.live.close_codes import CloseCode

    return _values(CloseCode, "code")


def statuses(kind: str) -> Callable[[], str]:
    def render() -> str:
        from windlass.files import states as files
        from windlass.jobs import states as jobs

        return _values(getattr(files, kind, None) or getattr(jobs, kind), "value")

    return render


def moves(name: str) -> Callable[[], str]:
    def render() -> str:
        from windlass.files import states

        table: Mapping[Enum, frozenset[Enum]] = getattr(states, name)
        rows = (
            (f"`{state.value}`", ", ".join(f"`{target.value}`" for target in type(state) if target in targets) or "end")
            for state, targets in table.items()
        )
        return _table(("from", "to"), rows)

    return render


def steps() -> str:
    from windlass.processing.contract import STAGES
    from windlass.processing.registry import OURS, installed

    found = [step for step in installed().values() if type(step).__module__.startswith(OURS)]
    found.sort(key=lambda step: (STAGES.index(step.about.stage), step.about.order, step.about.name))
    return "\n\n".join(_step(step) for step in found)


#: Kinds of files, each with types that stand for it.
KINDS: Mapping[str, tuple[str, ...]] = {
    "Pictures": ("image/jpeg", "image/tiff", "image/bmp", "image/svg+xml"),
    "PDF": ("application/pdf",),
    "Video and sound": ("video/mp4", "audio/mpeg"),
    "Office documents": (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.oasis.opendocument.text",
        "application/msword",
    ),
    "E-mail": ("message/rfc822", "application/vnd.ms-outlook"),
    "Archives": ("application/zip", "application/x-tar", "application/gzip"),
    "Text and data": ("text/plain", "text/csv", "text/html", "text/markdown", "application/json"),
}


def facts() -> str:
    """Of each kind, the facts that our steps may give; those of no kind here at the end."""
    from windlass.kernel.media_types import matches
    from windlass.processing.registry import OURS, installed

    left = [step.about for step in installed().values() if type(step).__module__.startswith(OURS) and step.about.gives]
    left.sort(key=lambda about: (about.order, about.name))
    parts = [_facts("Every file", [about for about in left if about.stage == "intake"])]
    shown = {about.name for about in left if about.stage == "intake"}
    for kind, examples in KINDS.items():
        of_kind = [
            about
            for about in left
            if about.stage != "intake" and any(matches(each, about.mime_types) for each in examples)
        ]
        parts.append(_facts(kind, of_kind))
        shown |= {about.name for about in of_kind}
    parts.append(_facts("Others", [about for about in left if about.name not in shown]))
    return "\n\n".join(part for part in parts if part)


def _facts(kind: str, abouts: Iterable[Any]) -> str:
    from windlass.files.api import FACT_COLUMNS

    columns = {*FACT_COLUMNS, "duplicate_of"}
    rows = [
        (f"`{name}`", meaning, "the record" if name in columns else "`extra_attributes`", f"`{about.name}`")
        for about in abouts
        for name, meaning in about.gives.items()
    ]
    return f"## {kind}\n\n{_table(('fact', 'what it says', 'where', 'step'), rows)}" if rows else ""


def aliases() -> str:
    from windlass.kernel.media_type_aliases import ALIAS_SOURCES

    rows = [
        (f"`{kind}`", ", ".join(f"`{name}`" for name in names.split()), said) for kind, said, names in ALIAS_SOURCES
    ]
    return _table(("type", "other names", "where they come from"), rows)


def endings() -> str:
    from windlass.kernel.media_type_tables import EXTENSIONS

    kinds: dict[str, list[str]] = {}
    for ending, kind in EXTENSIONS.items():
        kinds.setdefault(kind, []).append(f"`.{ending}`")
    return _table(("type", "endings"), [(f"`{kind}`", " ".join(found)) for kind, found in sorted(kinds.items())])


def profile_keys() -> str:
    from windlass.files.profiles import Profile

    hints = typing.get_type_hints(Profile)
    rows = (
        (f"`{field.name}`", _kind(hints[field.name]), "" if field.default is MISSING else _default(field.default))
        for field in fields(Profile)
        if field.name != "name"
    )
    return _table(("key", "kind", "default"), rows)


def commands() -> str:
    import typer.main

    from windlass.cli import app

    return "\n\n".join(_command(f"windlass {name}", found) for name, found in _leaves(typer.main.get_command(app)))


def calls() -> str:
    from windlass.http.rest.openapi import api

    rows = []
    for path, operations in api.get_openapi_schema(path_prefix="")["paths"].items():
        for method, operation in operations.items():
            rows.append((f"`{method.upper()} {path}`", operation["summary"]))
    return _table(("call", "what it does"), sorted(rows, key=lambda row: row[0].split()[::-1]))


PARTS: Mapping[str, Callable[[], str]] = {
    "beside-peers": beside_peers.markdown,
    "settings": settings,
    "problems": problems,
    "events": events,
    "close-codes": close_codes,
    "steps": steps,
    "facts": facts,
    "aliases": aliases,
    "endings": endings,
    "profile-keys": profile_keys,
    "commands": commands,
    "exit-codes": exit_codes,
    "calls": calls,
    "upload-statuses": statuses("UploadStatus"),
    "upload-moves": moves("UPLOAD_TRANSITIONS"),
    "file-statuses": statuses("FileStatus"),
    "file-moves": moves("FILE_TRANSITIONS"),
    "step-states": statuses("StepState"),
    "stages": statuses("Stage"),
    "job-states": statuses("JobState"),
    "attempt-outcomes": statuses("AttemptOutcome"),
}


def _step(step: Any) -> str:
    about = step.about
    facts = [
        ("stage", about.stage),
        ("runs", "in the sandbox" if about.isolated else "in the worker; parses nothing"),
        ("for", ", ".join(f"`{kind}`" for kind in about.mime_types) if about.mime_types != ("*/*",) else "every file"),
        ("wanted by", _wanted_by(about.wanted_by)),
        ("facts", "; ".join(f"`{name}`: {meaning}" for name, meaning in about.gives.items())),
        ("makes", ", ".join(map(_made, about.makes))),
    ]
    said = inspect.getdoc(type(step)) or ""
    lines = [f"## `{about.name}`", "", f"{about.title}.{' ' + ' '.join(said.split()) if said else ''}", ""]
    return "\n".join(lines + [f"- {name}: {value}" for name, value in facts if value])


def _wanted_by(switch: str | None) -> str:
    """Vectors have no switch in profiles: ``profile_document`` computes one."""
    if switch == "embeddings":
        return "the profile's `search`, if the setting `EMBEDDINGS` is not `off`"
    return f"the profile's `{switch}`" if switch else ""


def _made(made: Any) -> str:
    further = f", `{made.name}-{{width}}`" if made.sized else ""
    names = f"`{made.name}-1` to `{made.name}-{made.numbered}`" if made.numbered else f"`{made.name}`{further}"
    return f"{names} ({' or '.join(made.mime_types)})"


def _leaves(group: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from _leaves(found, f"{prefix}{name} ")
        else:
            yield prefix + name, found


def _command(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and not param.hidden]
    usage = " ".join([name, *(f"[{_metavar(one)}]" if not one.required else _metavar(one) for one in arguments)])
    lines = [f"## `{usage}`", "", " ".join(command.help.split()), ""]
    rows = [(f"`{_metavar(one)}`", "", one.help or "") for one in arguments]
    rows += [(_spelling(one), _option_default(one), one.help or "") for one in options]
    return "\n".join([*lines, _table(("", "default", "what it is"), rows)] if rows else lines)


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _spelling(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    return f"{names} (`{option.envvar}`)" if option.envvar else names


def _option_default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag and option.secondary_opts:
        return f"`{(option.opts if option.default else option.secondary_opts)[0]}`"
    if option.is_flag or option.default is None or option.default == "":
        return ""
    return f"`{option.default:g}`" if isinstance(option.default, float) else f"`{option.default}`"


def _values(kind: type[Enum], heading: str) -> str:
    """An enum's values with the comments that stand beside them in its source."""
    comments = dict(re.findall(r"^    (\w+) = .*?  # (.+)$", inspect.getsource(kind), re.MULTILINE))
    return _table((heading, "what it means"), ((f"`{one.value}`", comments[one.name]) for one in kind))


def _kind(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _kind(next(argument for argument in arguments if argument is not type(None)))
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    return "list" if origin is tuple else _TYPES[hint]


def _default(value: Any) -> str:
    if callable(value):
        value = os.path.relpath(value())
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([_row(*head), "|" + "---|" * len(head), *(_row(*row) for row in rows)])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        # The code's own defaults, whatever this shell has set; and nothing of ours left in this directory.
        for name in [name for name in os.environ if name.startswith("WINDLASS_")]:
            del os.environ[name]
        os.environ |= {"WINDLASS_HOME": home, "DJANGO_SETTINGS_MODULE": "windlass.settings"}
        import django

        django.setup()
        sys.exit(main())
