"""Compress large replies of the record plane for clients that accept it."""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

#: A smaller reply fits into one packet anyway (bytes).
LEAST_BYTES = 1400


def _not_called(request: HttpRequest) -> HttpResponse:
    raise AssertionError("Only process_response is used.")


#: Adds a random number of bytes, so that the length says nothing about the content (BREACH).
_GZIP = GZipMiddleware(_not_called)


async def compressed(request: HttpRequest, response: HttpResponse) -> HttpResponseBase:
    """Return the response with gzip, where the request accepts that. A thread compresses it."""
    if len(response.content) < LEAST_BYTES:
        return response
    return await asyncio.to_thread(_GZIP.process_response, request, response)
