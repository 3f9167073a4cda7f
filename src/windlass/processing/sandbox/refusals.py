"""How a step that asked for more than it may have is told of, in words for the file's owner."""

from __future__ import annotations

import errno
import resource

#: The child was killed for a call that no step has an innocent use for.
FORBIDDEN = "The step was stopped: it asked the system for something it may not do."


def reason(error: Exception) -> str:
    """Called in the child. What the error itself says may name what nobody should read."""
    match error:
        case PermissionError():
            return "The step asked for a file, a connection or a right that it may not have."
        case OSError(errno=errno.EFBIG):
            return f"The step wrote more than {resource.getrlimit(resource.RLIMIT_FSIZE)[0] // 2**20} MB."
        case _:
            return "The step failed in a way that it does not know; the server's log says more."
