"""Uploads straight to the store over HTTP: ``/s3/`` (http-api section 5). Only JSON passes here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from windlass.accounts import api as accounts
from windlass.accounts.api import OWNER
from windlass.executors import in_database, in_transaction
from windlass.files import api as files
from windlass.http.uploads import json_bodies
from windlass.http.uploads.upload_request import Incoming, receiving
from windlass.http.uploads.upload_responses import of_reply
from windlass.kernel import urls
from windlass.kernel.errors import Conflict, Problem, UploadGone
from windlass.kernel.principals import Caller, Principal
from windlass.protocols import s3multipart as dialect
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import CreateDirect, Reply
from windlass.protocols.json_fields import parse_upload_id
from windlass.receiving import direct_completion, direct_upload

Call = Callable[[Incoming], Awaitable[Reply]]


def call(handler: Call) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that refuses in Uppy's words, and whose query is Uppy's."""

    @wraps(handler)
    async def answered(incoming: Incoming) -> Response:
        return of_reply(await handler(incoming))

    return receiving(answered, OWNER, refuse=_refuse, own_query=True)


def _refuse(problem: Problem, incoming: Incoming) -> Response:
    return of_reply(dialect.refused(problem))


async def create(incoming: Incoming) -> Reply:
    """``POST multipart``."""
    principal = incoming.principal
    intent = dialect.parse_create(await json_bodies.read(incoming, dialect.MAX_JSON_BODY))
    begun = await direct_upload.create(direct_upload.admit_direct(intent, principal, dialect=Dialect.S3), intent)
    return dialect.created(begun.session.id, begun.key, direct_upload.bucket_of(begun.session))


async def params(incoming: Incoming) -> Reply:
    """``GET params``: where to send a file in one request."""
    principal = incoming.principal
    intent = dialect.parse_params(incoming.head.query)
    new = direct_upload.admit_direct(intent, principal, dialect=Dialect.S3)
    if intent.as_form and not direct_upload.supports_forms(new):
        return await _through_here(incoming, intent, principal)
    begun = await direct_upload.create(new, intent)
    invitation = begun.signed
    assert invitation is not None
    return dialect.signed_request(
        begun.session.id,
        begun.key,
        method=invitation.method,
        url=invitation.url,
        fields=invitation.fields,
        headers=invitation.headers,
        seconds=direct_upload.url_lifetime(),
    )


async def show_parts(incoming: Incoming) -> Reply:
    upload_id, key = _named(incoming)
    found = await direct_upload.parts(upload_id, key, incoming.caller(), dialect=Dialect.S3)
    return dialect.uploaded_parts((part.number, part.tag, part.size) for part in found)


async def sign_part(incoming: Incoming) -> Reply:
    upload_id, key = _named(incoming)
    number = dialect.parse_number(incoming.request.path_params["number"])
    urls = await direct_upload.part_urls(upload_id, key, [number], incoming.caller(), dialect=Dialect.S3)
    return dialect.signed_part(urls[number], direct_upload.url_lifetime())


async def sign_parts(incoming: Incoming) -> Reply:
    upload_id, key = _named(incoming)
    numbers = dialect.parse_numbers(incoming.head.query)
    return dialect.signed_parts(
        await direct_upload.part_urls(upload_id, key, numbers, incoming.caller(), dialect=Dialect.S3)
    )


async def complete(incoming: Incoming) -> Reply:
    upload_id, key = _named(incoming)
    principal = incoming.principal
    named = await json_bodies.parse_whole(incoming.head, incoming.body, dialect.parse_complete, dialect.MAX_JSON_PARTS)
    session = await direct_completion.complete_multipart(
        upload_id, key, named, lambda: principal, dialect=Dialect.S3, request_id=incoming.request_id
    )
    return await _completed(session, key)


async def complete_params(incoming: Incoming) -> Reply:
    """``POST params/complete``: the page knows that it was sent, before the sweep looks for it."""
    key = dialect.parse_key(incoming.head.query)
    if key.startswith(accounts.GRANT_PREFIX):
        return await _completed(await in_database(_granted, key, incoming.caller()), key)
    upload_id, key = dialect.parse_upload_key(incoming.head.query)
    session = await direct_completion.complete_single(
        upload_id, key, incoming.caller(), dialect=Dialect.S3, request_id=incoming.request_id
    )
    return await _completed(session, key)


async def abort(incoming: Incoming) -> Reply:
    upload_id, key = _named(incoming)
    await direct_upload.abort(upload_id, key, incoming.caller(), dialect=Dialect.S3)
    return dialect.aborted()


async def _through_here(incoming: Incoming, intent: CreateDirect, principal: Principal) -> Reply:
    """A form that this server takes by itself, permitted by a grant: for stores that take none. The key is the grant's
    token, by which the page can ask for the file."""
    said = intent.description
    token, _until = await in_transaction(
        accounts.create_grant,
        principal.owner,
        profile=said.profile,
        max_size=intent.size,
        reference=said.reference,
        origin=incoming.head.headers.get("origin", ""),
        expires_in=direct_upload.url_lifetime(),
    )
    url = urls.absolute(f"/files/?{urlencode({accounts.GRANT_PARAMETER: token})}")
    fields = {"key": token, "metadata": json.dumps(said.metadata) if said.metadata else "", "sha256": said.sha256 or ""}
    shown = {name: value for name, value in fields.items() if value}
    return dialect.signed_request(
        None, token, method="POST", url=url, fields=shown, headers={}, seconds=direct_upload.url_lifetime()
    )


def _granted(token: str, caller: Caller) -> files.UploadSession:
    upload_id = accounts.upload_of_grant(token)
    if upload_id is None:
        raise Conflict("Nothing has come yet under this key.")
    return files.get_upload(upload_id, caller())


def _named(incoming: Incoming) -> tuple[uuid.UUID, str]:
    return parse_upload_id(incoming.request.path_params["id"]), dialect.parse_key(incoming.head.query)


async def _completed(session: files.UploadSession, key: str) -> Reply:
    asset = await in_database(files.assets.load, session.file_id) if session.file_id else None
    if asset is None:
        raise UploadGone(f"The upload {session.id} is complete, and its file has been deleted since.")
    return dialect.completed(asset.id, key, direct_upload.bucket_of(session))


routes = [
    Route("/s3/params", call(params), methods=["GET"]),
    Route("/s3/params/complete", call(complete_params), methods=["POST"]),
    Route("/s3/multipart", call(create), methods=["POST"]),
    Route("/s3/multipart/{id}", call(show_parts), methods=["GET"]),
    Route("/s3/multipart/{id}", call(abort), methods=["DELETE"]),
    Route("/s3/multipart/{id}/batch", call(sign_parts), methods=["GET"]),
    Route("/s3/multipart/{id}/complete", call(complete), methods=["POST"]),
    Route("/s3/multipart/{id}/{number}", call(sign_part), methods=["GET"]),
]
for route in routes:
    # Starlette answers HEAD wherever GET is; here a GET may begin something.
    route.methods = {method for method in route.methods or () if method != "HEAD"}
