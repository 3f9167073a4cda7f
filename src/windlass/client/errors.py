"""Every error that the client raises on purpose: one family.

``status`` and ``problem`` (the RFC 9457 document) are there where the server said no; else None and empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from windlass.client.commands import Answer


class WindlassError(Exception):
    """The base of the family. Its text says what happened in words for a person."""

    def __init__(self, message: str, *, status: int | None = None, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem: Mapping[str, Any] = problem or {}

    @property
    def slug(self) -> str:
        """The stable name of the problem, such as ``file-too-large``; empty where there is none."""
        return str(self.problem.get("type", "")).rpartition("/")[2]


class Refused(WindlassError):
    """The server answered, and the answer was no."""


class Unauthenticated(Refused):
    """401: a valid token is needed."""


class NotFound(Refused):
    """404: there is no such thing, or it is another's."""


class Conflict(Refused):
    """409: not in the present state."""


class Gone(Refused):
    """410: it was here, and was ended on purpose."""


class TooLarge(Refused):
    """413: more bytes than are allowed; ``problem["limit"]`` says how many are."""


class Invalid(Refused):
    """422: a field, or the bytes themselves, are not what was announced or allowed."""


class ServerFailed(Refused):
    """5xx: the server could not do it now."""


class GaveUp(WindlassError):
    """Nothing went forward for as long as patience was given. The same call goes on from where this one stopped."""


class WaitTimeout(WindlassError):
    """The file reached no end state in the given time."""


class SourceChanged(WindlassError):
    """The file was changed while it was being sent."""


class ChecksumMismatch(WindlassError):
    """The bytes that arrived are not those of the record; they were thrown away."""


class BadAnswer(WindlassError):
    """The server's answer makes no sense: it may not be Windlass."""


_KINDS: Mapping[int, type[Refused]] = {
    401: Unauthenticated,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    422: Invalid,
}


def refusal(answer: Answer) -> Refused:
    """The error for an answer that is no success."""
    problem = problem_of(answer)
    message = problem.get("detail") or problem.get("title") or _phrase(answer.status)
    kind = _KINDS.get(answer.status, ServerFailed if answer.status >= 500 else Refused)
    return kind(str(message), status=answer.status, problem=problem)


def problem_of(answer: Answer) -> Mapping[str, Any]:
    """The problem document; empty where the answer carries none, as the answer to a HEAD."""
    if answer.headers.get("content-type", "").partition(";")[0].strip() != "application/problem+json":
        return {}
    document = answer.json()
    return document if isinstance(document, dict) else {}


def _phrase(status: int) -> str:
    known = status in HTTPStatus._value2member_map_
    return f"The server answered {status}{f' {HTTPStatus(status).phrase}' if known else ''}."
