"""The exit codes of commands. docs/reference/cli.md has the comments of this table."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    DONE = 0  # everything was done
    REFUSED = 1  # the server refused something, or a file was rejected, failed or could not be read or written
    USAGE = 2  # an argument or a setting is wrong, or a part of the server cannot start
    TRY_AGAIN = 3  # the server cannot be reached, is too busy, or was not done in time: the same command goes on later
    INTERRUPTED = 130  # Ctrl-C or SIGTERM: the same command goes on
