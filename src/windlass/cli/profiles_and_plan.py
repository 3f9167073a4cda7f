"""``windlass profiles`` and ``windlass plan FILE``: the configured rules, and the steps that a file would get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.cli.output import JsonOption, json_line, size_text

if TYPE_CHECKING:
    from windlass.processing.plan import LeftOut, PlannedStep


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    profile: Annotated[str, typer.Option(help="The profile whose rules and steps apply.")] = "default",
    as_json: JsonOption = False,
) -> None:
    """Detect the type of a local file in the sandbox, and print for each step why it would run, be owed or be left out.
    Nothing is uploaded."""
    from windlass.processing.plan import left_out, make_plan
    from windlass.processing.registry import installed, missing

    rules = _profile_rules(profile)
    mime_type, also = _detect_types(file)
    abouts = [step.about for step in installed().values()]
    steps = make_plan(abouts, rules, mime_type, missing, also)
    others = left_out(abouts, rules, mime_type, also)
    if as_json:
        document: dict[str, Any] = {"file": str(file), "profile": profile, "mime_type": mime_type}
        document |= {"steps": [asdict(step) for step in steps], "left_out": [asdict(step) for step in others]}
        typer.echo(json_line(document))
    else:
        for line in _plan_lines(f"{file}: {mime_type}, profile {profile}", steps, others):
            typer.echo(line)


def _profile_rules(name: str) -> Mapping[str, Any]:
    from windlass.files.profiles import profile
    from windlass.kernel.problem_types import InvalidField
    from windlass.processing.plan import profile_document

    try:
        return profile_document(profile(name))
    except InvalidField as error:
        raise typer.BadParameter(str(error)) from error


def _detect_types(file: Path) -> tuple[str, tuple[str, ...]]:
    from windlass.processing.contract import StepError
    from windlass.processing.worker_sandbox import detect_types

    try:
        return detect_types(file)
    except (StepError, OSError) as error:
        typer.echo(f"windlass: the type of {file} cannot be detected: {error}", err=True)
        raise typer.Exit(1) from error


def _plan_lines(head: str, steps: Sequence[PlannedStep], others: Sequence[LeftOut]) -> list[str]:
    lines = [head]
    for stage, members in groupby(steps, key=lambda step: step.stage):
        lines.append(f"{stage}:")
        for step in members:
            where, owed = " (in the sandbox)" * step.isolated, f"; owed: {step.owed}" if step.owed else ""
            level = f"; from level {step.least_level} up" if step.least_level != "maintenance" else ""
            lines += [f"  {step.name:<16} {step.title}{where}", f"{'':<19}{step.reason}{level}{owed}"]
    if others:
        lines.append("left out:")
        lines += [f"  {step.name:<16} {step.reason}" for step in others]
    return lines


def profiles(as_json: JsonOption = False) -> None:
    """Print the profiles configured on this machine."""
    from windlass.files.profiles import profiles as configured

    for profile in configured().values():
        if as_json:
            typer.echo(json_line(profile.document() | {"store": profile.store}))
            continue
        typer.echo(f"{profile.name}: {profile.description}" if profile.description else profile.name)
        rules = {"store": profile.store} | profile.document()
        kinds = rules.pop("media_types")
        for line in _rule_lines(rules):
            typer.echo(f"  {line}")
        for kind in kinds:
            typer.echo(f"  {kind.pop('kind')}")
            for line in _rule_lines(kind):
                typer.echo(f"    {line}")


def _rule_lines(rules: dict[str, object]) -> list[str]:
    lines = []
    for name, value in rules.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif name in ("name", "description") or not value:
            continue
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        elif name.endswith("_size") and isinstance(value, int):
            value = size_text(value)
        lines.append(f"{name:<20} {value}")
    return lines
