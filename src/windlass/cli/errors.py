"""Errors that end a command with one line for the user."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from windlass.cli.exit_codes import ExitCode

#: Exit code for bad settings, bad arguments, and services that cannot be reached. It is the code that Typer uses.
USAGE_ERROR = int(ExitCode.USAGE)


class CommandError(Exception):
    """An expected failure of a command. The message is all that the user needs to read."""


def exit_with_error(error: BaseException) -> NoReturn:
    """Print the error on one line and end the process with ``USAGE_ERROR``."""
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"windlass: {text}", file=sys.stderr)  # noqa: T201  this is a command line
    raise SystemExit(USAGE_ERROR)


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn a DatabaseError into a CommandError that says what to do."""
    from django.db import DatabaseError

    try:
        yield
    except DatabaseError as error:
        absent = "no such table" in str(error) or "does not exist" in str(error)
        hint = " Run `windlass migrate` first." if absent else ""
        raise CommandError(f"the database failed: {error}.{hint}") from error
