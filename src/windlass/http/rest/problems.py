"""Turn errors of Django and Ninja into RFC 9457 problem documents on the record plane."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import BadRequest as DjangoBadRequest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja.errors import HttpError, ValidationError

from windlass.http import problem_responses
from windlass.kernel.problem_types import BadRequest, BodyTooLarge, Forbidden, InvalidField, NotFound, Problem

#: Pydantic's type of an error -> what the field must be, with the figures of its context.
_SENTENCES = {
    "missing": "is missing",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_pattern_mismatch": "contains a character that is not allowed here",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be greater than {gt}",
    "less_than": "must be less than {lt}",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "list_type": "must be a list",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "value_error": "{error}",
}


def request_id(request: HttpRequest) -> str:
    """The request's id; empty where another project serves it without ``windlass.asgi``."""
    scope: dict[str, Any] = getattr(request, "scope", {})
    return str(scope.get("windlass.request_id", ""))


def response(problem: Problem, request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        problem.document(request.path, request_id(request) or None),
        status=problem.status,
        headers=problem.headers,
        content_type="application/problem+json",
    )


def error_response(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
    """The reply to any error. Call it while the error is handled: an unforeseen one is logged with its traceback."""
    assert isinstance(error, Exception)
    return response(problem_of(error), request)


def problem_of(error: Exception) -> Problem:
    match error:
        case ValidationError():
            return _invalid_fields(error.errors)
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
            return problem_responses.problem_of(error)


def _invalid_fields(errors: Sequence[Mapping[str, Any]]) -> InvalidField:
    """Name each field, where it stands, and what is allowed. ``errors`` are Ninja's: ``loc``, ``type``, ``ctx``."""
    described = [_described(error) for error in errors]
    detail = "; ".join(each["message"] for each in described) + "."
    return InvalidField(detail, field=described[0]["field"], errors=described)


def _described(error: Mapping[str, Any]) -> dict[str, str]:
    place, *parts = error["loc"]
    names = [str(part) for part in parts]
    # The first name of a body is that of the view's argument, which no client knows; so it may be in a query, before
    # the name and the number of a repeated parameter.
    if place == "body":
        names = names[1:]
    elif place == "query":
        names = [part for part in parts if isinstance(part, str)][-1:]
    field = ".".join(names)
    if not field:
        return {"field": place, "in": place, "message": "the request needs a body: a JSON object"}
    return {"field": field, "in": place, "message": f"{field} {_sentence(error)}"}


def _sentence(error: Mapping[str, Any]) -> str:
    context = {name: _unquoted(value) for name, value in (error.get("ctx") or {}).items()}
    try:
        return _SENTENCES[error["type"]].format_map(context)
    except KeyError:
        return "has a value that is not allowed"


def _unquoted(value: object) -> str:
    """``'A', 'B' or 'C'`` without the quotation marks."""
    return re.sub(r"'([^']*)'", r"\1", str(value))
