"""Execute a request with an ``Idempotency-Key`` at most once, on the byte plane.

The key is claimed before the body is read. The body is hashed while it is received. A repeated request's body is only
hashed and compared, and then the first answer is given again (docs/decisions/0057-idempotency-keys.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from starlette.responses import Response

from windlass.accounts import api as accounts
from windlass.executors import in_database, in_thread, in_transaction
from windlass.files import api as files
from windlass.http.endpoints import ByteEndpoint, Content
from windlass.http.idempotency import caller_of, holding, is_final, storable
from windlass.http.uploads.upload_request import UploadRequest
from windlass.kernel import process_counters
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import GrantUsed, ReceiveTimeout, UploadGone
from windlass.protocols.idempotency import (
    HEADER,
    REPLAYED,
    BodyDigest,
    JsonDigest,
    form_or_bytes_digest,
    head_fingerprint,
    parse_key,
)
from windlass.protocols.request_heads import effective_method
from windlass.receiving import lease as leases
from windlass.receiving.body import ClientGone
from windlass.receiving.body_hasher import BodyHasher
from windlass.receiving.session import end_session
from windlass.receiving.transfer import Transfer, TransferEnd

#: Bytes by which a repeated body may be longer than the first: boundaries and white space may differ.
ENCODING_SLACK = 2 * 1024 * 1024

#: Execute a request and answer it, whether it succeeds or is refused. Raises nothing but cancellation.
Respond = Callable[[UploadRequest], Awaitable[Response]]
RespondAgain = Callable[[UploadRequest, files.UploadSession], Awaitable[Response]]


async def answer_once(
    upload: UploadRequest, declared: ByteEndpoint, respond: Respond, respond_again: RespondAgain
) -> Response:
    """The answer to a request, which is executed unless it has an idempotency key and was executed before.

    Raises BadRequest for a malformed key, Forbidden, GrantUsed, IdempotencyKeyReused, RequestInProgress, UploadGone,
    ReceiveTimeout, ClientGone.
    """
    key = parse_key(upload.request.headers.getlist(HEADER))
    if key is None:
        return await respond(upload)
    is_json = declared.body is not None and not isinstance(declared.body, Content)
    headers = {} if is_json else upload.head.headers
    fingerprint = head_fingerprint(effective_method(upload.head), upload.head.path, upload.head.query, headers)
    digest = JsonDigest() if is_json else form_or_bytes_digest(upload.head)
    keyed = files.KeyedRequest(caller_of(upload.principal), key, fingerprint)
    claimed = await in_transaction(files.claim_key, keyed, leases.holder(), leases.LEASE_SECONDS)
    if isinstance(claimed, files.AnsweredRequest):
        await _require_same_body(upload, digest, claimed)
        return _replayed(await _first_answer(upload, claimed, respond_again))
    return await _KeyedExecution(upload, claimed).run(digest, respond, respond_again)


class _KeyedExecution:
    """The execution of a request whose key is claimed."""

    def __init__(self, upload: UploadRequest, claim: files.KeyClaim) -> None:
        self._upload = upload
        self._claim = claim

    async def run(self, digest: BodyDigest, respond: Respond, respond_again: RespondAgain) -> Response:
        response: Response | None = None
        with holding(self._claim):
            try:
                resumable = await self._end_or_find_former_upload()
                if resumable is not None:
                    self._claim.uploads = [resumable.id]
                    response = _replayed(await respond_again(self._upload, resumable))
                else:
                    response = await self._execute(digest, respond)
            finally:
                await asyncio.shield(self._settle(response))
        return response

    async def _execute(self, digest: BodyDigest, respond: Respond) -> Response:
        _require_unused_grant(self._upload.principal, self._claim)
        self._upload.body.hash_with(BodyHasher(digest))
        response = await respond(replace(self._upload, claim=self._claim))
        self._claim.body = await self._upload.body.content_digest()
        return response

    async def _end_or_find_former_upload(self) -> files.UploadSession | None:
        """Return the upload session that a process created which died before it answered, if it can be continued; end
        the others, so that their bytes and their quota are free."""
        for upload_id in self._claim.former_uploads:
            session = await in_database(files.load_upload, upload_id)
            if session is None:
                continue
            if _goes_on(session):
                return session
            await end_session(session, files.UploadStatus.FAILED, "The server stopped while it was received.")
            grant = self._upload.principal.grant
            if grant is not None:
                await in_transaction(accounts.release_grant, grant.id, session.id)
        return None

    async def _settle(self, response: Response | None) -> None:
        """Keep the answer if the request had an effect, else release the key."""
        claim = self._claim
        if response is not None and self._is_answer(response):
            answer = storable(response)
            if answer != claim.answer:
                await in_transaction(files.record_answer, claim, answer)
        elif claim.answer is not None:
            return
        elif await in_database(self._has_upload_that_goes_on):
            await in_transaction(files.finish_key, claim)
        else:
            await in_transaction(files.release_key, claim)

    def _is_answer(self, response: Response) -> bool:
        """Whether this is what a repeated request is answered with. Of a resumable upload it is made anew."""
        if self._claim.answer is not None:
            return is_final(response.status_code)
        return response.status_code < 300 and not self._claim.uploads

    def _has_upload_that_goes_on(self) -> bool:
        sessions: Sequence[files.UploadSession | None] = [files.load_upload(each) for each in self._claim.uploads]
        return any(session is not None and _goes_on(session) for session in sessions)


def _goes_on(session: files.UploadSession) -> bool:
    if session.status == files.UploadStatus.COMPLETED:
        return True
    return session.resumable and session.status in files.UNFINISHED_UPLOADS


def _require_unused_grant(principal: Principal, claim: files.KeyClaim) -> None:
    """A used grant is accepted with a key only because the request may be a repeated one."""
    grant = principal.grant
    if grant is not None and grant.upload_id is not None and grant.upload_id not in claim.former_uploads:
        raise GrantUsed("This grant has been used: it is for one upload.")


async def _require_same_body(upload: UploadRequest, digest: BodyDigest, first: files.AnsweredRequest) -> None:
    """Receive the body, without keeping it, and compare it with the first one's; unless that did not arrive completely.

    Raises IdempotencyKeyReused, ReceiveTimeout, ClientGone.
    """
    if first.body_digest is None or first.body_size is None:
        return
    transfer = Transfer(
        upload.body,
        lambda _offset, buffers: digest.update(buffers),
        offset=0,
        limit=first.body_size + ENCODING_SLACK,
        digest=None,
    )
    match await transfer.run([]):
        case TransferEnd.CLIENT_GONE:
            raise ClientGone
        case TransferEnd.TIMED_OUT:
            raise ReceiveTimeout("The client sent nothing for too long. Send the request again.")
        case TransferEnd.OVER_LIMIT:
            raise files.key_reused()
    if await in_thread(digest.hexdigest) != first.body_digest:
        raise files.key_reused()


async def _first_answer(upload: UploadRequest, first: files.AnsweredRequest, respond_again: RespondAgain) -> Response:
    answer = first.answer
    if answer is not None:
        return Response(answer.body, answer.status, dict(answer.headers))
    session = await in_database(files.load_upload, first.uploads[0])
    if session is None:
        raise UploadGone("The upload that this request created has been deleted since. Use a new key for a new upload.")
    files.require_living(session)
    return await respond_again(upload, session)


def _replayed(response: Response) -> Response:
    process_counters.idempotency_replays.add(1)
    response.headers[REPLAYED] = "true"
    return response
