"""Signed requests with which clients send objects to the S3 store, and the objects that result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.contract.test_s3_store import options
from tests.s3_forms import taking_forms
from tests.services import S3Server
from windlass.storage.contract import ObjectMissing, SignedRequest, UploadedPart
from windlass.storage.s3.options import MIB
from windlass.storage.s3.store import S3Store

KEY = "objects/ab/sent-by-a-client"
HELLO = b"hello"
SHA256 = hashlib.sha256(HELLO).hexdigest()


@pytest.fixture
def store(s3_server: S3Server) -> Iterator[S3Store]:
    with taking_forms(s3_server) as address:
        made = S3Store(options(s3_server, prefix="some/where/", public_endpoint=address))
        yield made
        made.close()


def send(invitation: SignedRequest, data: bytes, **fields: str) -> int:
    if invitation.fields:
        form = dict(invitation.fields) | fields
        return httpx.post(invitation.url, data=form, files={"file": data}).status_code
    return httpx.put(invitation.url, content=data, headers=invitation.headers).status_code


def test_signed_parts_accept_only_their_length(store: S3Store) -> None:
    state = store.create_multipart(KEY)
    first = bytes(5 * MIB)
    assert send(store.sign_part(KEY, state, 1, seconds=60, size=len(first)), first[1:]) == 403
    assert send(store.sign_part(KEY, state, 1, seconds=60, size=len(first)), first) == 200
    last = store.sign_part(KEY, state, 2, seconds=60)
    assert send(last, HELLO) == 200
    sent = store.uploaded_parts(KEY, state)
    assert [(part.number, part.size) for part in sent] == [(1, len(first)), (2, len(HELLO))]
    assert store.completed_size(KEY, state) is None
    assert store.complete_multipart(KEY, state, sent) == len(first) + len(HELLO)
    assert store.complete_multipart(KEY, state, sent) == len(first) + len(HELLO), "the answer may have been lost"
    assert store.completed_size(KEY, state) == len(first) + len(HELLO)
    with pytest.raises(ObjectMissing):
        store.uploaded_parts(KEY, state)
    assert send(last, b"other") == 404
    with store.open(KEY) as found:
        found.seek(len(first))
        assert found.read() == HELLO


def test_a_signed_url_is_valid_for_one_part_and_time(store: S3Store, s3_server: S3Server) -> None:
    """It is valid for the signed request only."""
    state = store.create_multipart(KEY)
    url = store.sign_part(KEY, state, 1, seconds=60).url
    assert httpx.put(url.replace("partNumber=1", "partNumber=2"), content=HELLO).status_code == 403
    assert httpx.put(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"), content=HELLO).status_code == 403
    assert "X-Amz-Expires=60" in url
    store.discard(KEY, state)
    assert list(store.objects()) == []


@pytest.mark.parametrize("by_form", [True, False])
def test_a_signed_put_or_form_creates_the_object(store: S3Store, by_form: bool) -> None:
    state = store.create_single(KEY)
    size = len(HELLO)
    if by_form:
        invitation = store.sign_form(KEY, state, seconds=60, sizes=(size, size), sha256=SHA256)
    else:
        invitation = store.sign_put(KEY, state, seconds=60, size=size, sha256=SHA256)
    assert send(invitation, HELLO + b"!") == 403
    assert store.uploaded_single(KEY, state) is None
    assert send(invitation, HELLO) in (200, 201)
    sent = store.uploaded_single(KEY, state)
    assert sent is not None
    assert sent.size == size
    assert [found.unfinished for found in store.objects()] == [True], "the sweep takes it for what it is"
    assert store.complete_single(KEY, state, replace(sent, tag="0" * 32)) is None, "it was replaced meanwhile"
    assert [store.complete_single(KEY, state, sent) for _ in range(2)] == [size, size]
    assert store.completed_size(KEY, state) == size
    store.clear(KEY)
    assert store.complete_single(KEY, state, sent) is None
    assert store.open(KEY).read() == HELLO
    assert send(invitation, HELLO) in (200, 201)
    store.clear(KEY)
    assert [(found.key, found.size) for found in store.objects()] == [(KEY, size)], "a late one is no object"


def test_a_form_outside_its_policy_is_refused(store: S3Store) -> None:
    state = store.create_single(KEY)
    invitation = store.sign_form(KEY, state, seconds=60, sizes=(2, 5), sha256=SHA256)
    assert send(invitation, b"h") == 403
    assert send(invitation, b"hellos") == 403
    assert send(invitation, b"hellp") == 403, "its checksum is another"
    assert send(invitation, HELLO, **{"Content-Type": "text/html"}) == 403
    assert send(invitation, HELLO, key="some/where/objects/ab/another") == 403
    assert send(invitation, HELLO, acl="public-read") == 403
    over = store.sign_form(KEY, state, seconds=-1, sizes=(0, 5))
    assert send(over, HELLO) == 403
    assert store.uploaded_single(KEY, state) is None
    assert send(invitation, HELLO) == 201
    tag = hashlib.md5(HELLO, usedforsecurity=False).hexdigest()
    assert store.uploaded_single(KEY, state) == UploadedPart(1, tag, 5)


def test_cors_problems_are_reported(store: S3Store, s3_server: S3Server) -> None:
    pages = ["https://a.test", "https://b.test"]
    assert store.cors_problems(pages).count("no PUT") == 2
    rules = [
        {"AllowedOrigins": ["https://a.*"], "AllowedMethods": ["PUT", "POST"], "ExposeHeaders": ["ETag"]},
        {"AllowedOrigins": ["https://b.test"], "AllowedMethods": ["PUT"]},
    ]
    s3_server.client.put_bucket_cors(Bucket=store.bucket, CORSConfiguration={"CORSRules": rules})
    assert store.cors_problems(pages[:1]) == ""
    assert "https://b.test (ETag is not exposed, no POST)" in store.cors_problems(pages)
