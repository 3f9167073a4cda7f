"""Every command prints JSON for programs, or has a reason not to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from windlass.cli import app

RUNS_UNTIL_STOPPED = "runs until it is stopped, and prints a log"
PRINTS_NOTHING = "prints nothing"
#: What these commands print instead.
WITHOUT_JSON = {
    "serve": RUNS_UNTIL_STOPPED,
    "web": RUNS_UNTIL_STOPPED,
    "worker": RUNS_UNTIL_STOPPED,
    "scheduler": RUNS_UNTIL_STOPPED,
    "migrate": "prints Django's report of the migrations",
    "encryption-key": "prints a key and nothing else",
    "mcp": "speaks the Model Context Protocol",
    "open": "prints an address and nothing else",
    "user password": PRINTS_NOTHING,
    "user disable": PRINTS_NOTHING,
    "user enable": PRINTS_NOTHING,
    "token create": "prints a token and nothing else",
    "token revoke": PRINTS_NOTHING,
    "files text": "prints the text of a file",
    "dead export": "prints JSON lines always",
    "audit export": "prints JSON lines always",
    "webhook remove": PRINTS_NOTHING,
    "webhook replay": PRINTS_NOTHING,
}


def commands(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command that is no group, by its words."""
    members = getattr(command, "commands", None)
    if members is None:
        yield " ".join(names), command
    for name, member in (members or {}).items():
        yield from commands(member, *names, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_json_or_a_reason(name: str) -> None:
    has_json = any("--json" in parameter.opts for parameter in COMMANDS[name].params)
    assert has_json != (name in WITHOUT_JSON)


def test_every_reason_is_of_a_command() -> None:
    assert set(WITHOUT_JSON) <= set(COMMANDS)
