"""Execute a call with an ``Idempotency-Key`` at most once, on the record plane.

Its JSON body is known before it runs, so it is part of the fingerprint (docs/decisions/0057-idempotency-keys.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja.operation import Operation
from ninja.utils import contribute_operation_callback

from windlass.executors import in_transaction
from windlass.files import api as files
from windlass.http.callers import caller
from windlass.http.idempotency import PARAMETER, caller_of, holding
from windlass.kernel import process_counters
from windlass.protocols.idempotency import HEADER, REPLAYED, JsonDigest, head_fingerprint, parse_key
from windlass.receiving import lease as leases

F = TypeVar("F", bound=Callable[..., Any])

#: Headers of a stored answer that are made anew for each reply.
_NOT_STORED = frozenset({"content-length", "date", "set-cookie", "vary"})


def takes_idempotency_key(view: F) -> F:
    """Declare that a repeated call with the same ``Idempotency-Key`` gets the first one's answer.

    A view whose effect must not happen twice even if the server dies before it answers records its answer in the
    transaction of the effect (``record``).
    """
    view.windlass_takes_idempotency_key = True  # type: ignore[attr-defined]
    contribute_operation_callback(view, _describe)
    return view


def is_declared(operation: Operation) -> bool:
    return getattr(operation.view_func, "windlass_takes_idempotency_key", False)


async def answer_once(request: HttpRequest, run: Callable[[], Awaitable[HttpResponseBase]]) -> HttpResponseBase:
    """The response to a call, which is run unless it has an idempotency key and was run before.

    Raises BadRequest for a malformed key, IdempotencyKeyReused, RequestInProgress.
    """
    given = request.headers.get(HEADER)
    key = parse_key([] if given is None else [given])
    if key is None:
        return await run()
    digest = JsonDigest()
    digest.update([request.body])
    query = {name: str(value) for name, value in request.GET.items()}
    fingerprint = head_fingerprint(request.method or "", request.path, query, {}, digest.hexdigest())
    keyed = files.KeyedRequest(caller_of(caller(request)), key, fingerprint)
    claimed = await in_transaction(files.claim_key, keyed, leases.holder(), leases.LEASE_SECONDS)
    if isinstance(claimed, files.AnsweredRequest):
        return _again(claimed)
    request.windlass_claim = claimed  # type: ignore[attr-defined]
    response: HttpResponseBase | None = None
    with holding(claimed):
        try:
            response = await run()
        finally:
            await asyncio.shield(_settle(claimed, response))
    return response


def record(request: HttpRequest, response: HttpResponse) -> None:
    """Record the answer of a call in the current transaction, if the call has an idempotency key. Raises
    RequestInProgress if another call has the key now."""
    claim: files.KeyClaim | None = getattr(request, "windlass_claim", None)
    if claim is not None:
        files.record_answer(claim, _storable(response))


async def in_recorded_transaction(request: HttpRequest, work: Callable[[], HttpResponse]) -> HttpResponse:
    """Run ``work`` in a transaction, and record the response that it makes there (``record``)."""

    def work_and_record() -> HttpResponse:
        response = work()
        record(request, response)
        return response

    return await in_transaction(work_and_record)


async def _settle(claim: files.KeyClaim, response: HttpResponseBase | None) -> None:
    """Keep the answer of a call that succeeded; release the key of one that was refused, which had no effect."""
    if claim.answer is not None:
        return
    if isinstance(response, HttpResponse) and response.status_code < 300:
        await in_transaction(files.record_answer, claim, _storable(response))
    else:
        await in_transaction(files.release_key, claim)


def _storable(response: HttpResponse) -> files.Answer:
    headers = [(name, value) for name, value in response.items() if name.lower() not in _NOT_STORED]
    return files.Answer(response.status_code, headers, response.content)


def _again(first: files.AnsweredRequest) -> HttpResponse:
    assert first.answer is not None, "calls of the record plane create no upload sessions"
    process_counters.idempotency_replays.add(1)
    headers = dict(first.answer.headers) | {REPLAYED: "true"}
    return HttpResponse(first.answer.body, status=first.answer.status, headers=headers)


def _describe(operation: Operation) -> None:
    described = {
        "in": PARAMETER.place,
        "name": PARAMETER.name,
        "required": False,
        "schema": {"type": PARAMETER.kind},
        "description": PARAMETER.description,
    }
    operation.openapi_extra = {**(operation.openapi_extra or {}), "parameters": [described]}
