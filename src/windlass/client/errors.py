"""The errors that the client raises; all derive from WindlassError."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from windlass.client.effects import Response


class WindlassError(Exception):
    """Base class. ``status`` and ``problem`` (the RFC 9457 document) are set if the server responded with an error."""

    def __init__(self, message: str, *, status: int | None = None, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem: Mapping[str, Any] = problem or {}

    @property
    def slug(self) -> str:
        """The stable name of the problem, such as ``file-too-large``; empty if there is none."""
        return str(self.problem.get("type", "")).rpartition("/")[2]


class Refused(WindlassError):
    """The server responded with an error."""


class Unauthenticated(Refused):
    """401: a valid token is needed."""


class NotFound(Refused):
    """404: it does not exist, or belongs to another owner."""


class Conflict(Refused):
    """409: not possible in the present state."""


class Gone(Refused):
    """410: it existed, and was ended on purpose."""


class TooLarge(Refused):
    """413: more bytes than the limit, which is ``problem["limit"]``."""


class Invalid(Refused):
    """422: a field or the bytes are invalid, or differ from what was announced."""


class ServerFailed(Refused):
    """5xx: the server failed."""


class GaveUp(WindlassError):
    """The retry budget is used up. The same call resumes where this one stopped."""


class WaitTimeout(WindlassError):
    """The file did not reach an end state in the given time."""


class SourceChanged(WindlassError):
    """The file was changed during the upload."""


class ChecksumMismatch(WindlassError):
    """The received bytes do not have the record's digest; they were deleted."""


class BadAnswer(WindlassError):
    """The response is not one that Windlass sends: the server may be another."""


_KINDS: Mapping[int, type[Refused]] = {
    401: Unauthenticated,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
}


def error_of(response: Response) -> Refused:
    problem = problem_of(response)
    message = problem.get("detail") or problem.get("title") or _phrase(response.status)
    kind = _KINDS.get(response.status, ServerFailed if response.status >= 500 else Refused)
    return kind(str(message), status=response.status, problem=problem)


def problem_of(response: Response) -> Mapping[str, Any]:
    """Return the problem document; empty if there is none, as in a response to HEAD."""
    if response.headers.get("content-type", "").partition(";")[0].strip() != "application/problem+json":
        return {}
    document = response.json()
    return document if isinstance(document, dict) else {}


def is_in_progress(response: Response) -> bool:
    """Whether the first request with the same idempotency key still runs."""
    return response.status == 409 and slug_of(response) == "request-in-progress"


def slug_of(response: Response) -> str:
    """Return the stable name of the response's problem; empty if there is none."""
    return str(problem_of(response).get("type", "")).rpartition("/")[2]


def _phrase(status: int) -> str:
    known = status in HTTPStatus._value2member_map_
    return f"The server answered {status}{f' {HTTPStatus(status).phrase}' if known else ''}."
