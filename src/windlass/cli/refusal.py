"""What ends a command with one clear line."""

from __future__ import annotations

import sys
from typing import NoReturn

#: The exit code of a command that was refused: bad settings, bad arguments, a part that is away.
REFUSED = 2


class Refusal(Exception):
    """An expected end of a command. The message is all that the user needs to read."""


def refuse(error: BaseException) -> NoReturn:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"windlass: {text}", file=sys.stderr)  # noqa: T201  this is a command line
    raise SystemExit(REFUSED)
