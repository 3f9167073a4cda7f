"""What crashes leave in a bucket, and what of it the sweep may remove."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests import django_home

django_home.set_up()

from tests.new_uploads import new_upload  # noqa: E402  after Django
from tests.services import S3Server  # noqa: E402
from windlass.files import api as files  # noqa: E402
from windlass.files.api import Blob  # noqa: E402
from windlass.storage.conformance.base import make, pattern, read, through_json, write  # noqa: E402
from windlass.storage.s3 import objects  # noqa: E402
from windlass.storage.s3.options import MIB, Options  # noqa: E402
from windlass.storage.s3.store import S3Store  # noqa: E402


@pytest.fixture
def target(s3_server: S3Server) -> S3Store:
    django_home.migrated()
    named = {"access_key": s3_server.ACCESS, "secret_key": s3_server.SECRET, "endpoint": s3_server.url}
    return S3Store(Options(bucket=s3_server.new_bucket(), addressing="path", **named))


def create_active_session(key: str, state: dict[str, Any]) -> None:
    """A living upload's row."""
    new = new_upload("user:s3", 100 * MIB, store="s3")
    files.create_upload(new, upload_id=uuid.uuid4(), key=key, state=state)


def key() -> str:
    return f"objects/{uuid.uuid4()}"


def test_only_objects_and_parts_without_a_row_are_deleted(target: S3Store, s3_server: S3Server) -> None:
    living, stray, whole, orphan = key(), key(), key(), key()
    state = write(target, living, through_json(target.create(living)), 0, pattern(9 * MIB))
    create_active_session(living, state)
    write(target, stray, through_json(target.create(stray)), 0, pattern(9 * MIB))
    make(target, whole, b"whole")
    Blob.objects.create(owner="user:s3", store="s3", key=whole, size=5)
    through_json(target.create(whole))  # an upload of the same object that a crash left, and a piece
    objects.put(target._bucket, objects.tail_key(whole, objects.new_token()), b"piece")
    make(target, orphan, b"orphan")
    s3_server.client.put_object(Bucket=target._options.bucket, Key="reports/of/somebody/else", Body=b"theirs")

    assert files.delete_orphans(target, older_than_hours=1) == (0, 0), "all of it is too new"
    removed, freed = files.delete_orphans(target, older_than_hours=0)

    assert removed >= 3
    assert freed >= 9 * MIB + len(b"piece") + len(b"orphan")
    assert {found.key for found in target.objects()} == {living, whole}
    assert {found.key for found in target.objects() if found.unfinished} == {living}
    assert read(target, whole) == b"whole"
    theirs = s3_server.client.list_objects_v2(Bucket=target._options.bucket, Prefix="reports/")
    assert theirs["KeyCount"] == 1
    writer = target.open_writer(living, state)
    assert writer.write(9 * MIB, [b"it goes on"]) == 10
    writer.close()
