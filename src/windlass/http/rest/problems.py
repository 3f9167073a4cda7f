"""Refusals of the record plane: whatever goes wrong in Django or Ninja is said as ``application/problem+json``."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import BadRequest as DjangoBadRequest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja.errors import HttpError, ValidationError

from windlass.http import endpoints
from windlass.http.rest import invalid_fields
from windlass.kernel.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    NotFound,
    Problem,
)


def request_id(request: HttpRequest) -> str:
    """The id that the front door gave this request; empty where another project serves us without it."""
    scope: dict[str, Any] = getattr(request, "scope", {})
    return str(scope.get("windlass.request_id", ""))


def response(problem: Problem, request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        problem.document(request.path, request_id(request) or None),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )


def answer(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    """The reply to any error; call it while the error is being handled, so that an unforeseen one is logged whole."""
    assert isinstance(error, Exception)
    return response(problem_of(error), request)


def problem_of(error: Exception) -> Problem:
    match error:
        case ValidationError():
            return invalid_fields.problem(error.errors)
        case Http404():
            return NotFound("There is nothing at this address.")
        case RequestDataTooBig():
            return BodyTooLarge("The body of this call is larger than any that it takes.")
        case PermissionDenied():
            return Forbidden("This caller may not do that.")
        case HttpError(status_code=400, __cause__=Problem() as problem):
            return problem
        case HttpError(status_code=400):
            return BadRequest("The body is not JSON that can be read.")
        case SuspiciousOperation() | DjangoBadRequest():
            return BadRequest("The request is not one that a client of this server would send.")
        case _:
            return endpoints.problem_of(error)
