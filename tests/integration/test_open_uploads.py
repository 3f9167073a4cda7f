"""How many uploads may be open at one address and of one owner, in every dialect, and which clients are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient
from tests.integration.test_rate_limits import Configure, create, send

pytest_plugins = ["tests.integration.record_plane"]

TUS = {"Tus-Resumable": "1.0.0"}
PARTIAL = TUS | {"Upload-Concat": "partial", "Upload-Length": "2"}
#: Larger than the first batch of a form or a raw body, so that it has a session while it is received.
LARGE = bytes(3 * 2**20)
CHUNKS = {"filename": "a", "total_size": 5, "mime_type": ""}
MEDIA = {"file_name": "a.mp4", "file_size": 5000, "content_type": "video/mp4"}


@pytest.fixture
def app(records_home: Any, configure: Configure) -> Any:
    """The whole application: two uploads may be open at an address."""
    from windlass.asgi import application
    from windlass.files.models import UploadSession

    UploadSession.objects.update(address_key="")  # those of other tests
    configure(WINDLASS_MAX_OPEN_UPLOADS_PER_ADDRESS="2", WINDLASS_RATE_LIMIT_PER_MINUTE="0")
    return application


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/files/", {"headers": TUS | {"Upload-Length": "5"}}),
        ("POST", "/files/", {"headers": PARTIAL}),
        ("POST", "/files/", {"headers": {"Upload-Complete": "?0"}, "content": b"a"}),
        ("POST", "/api/v1/upload/init/", {"json": CHUNKS}),
        ("POST", "/api/v1/media/upload/init/", {"json": MEDIA}),
        ("PUT", "/files/a.bin", {"content": LARGE}),
        ("POST", "/files/", {"files": {"file": ("a.bin", LARGE)}}),
    ],
    ids=["tus", "tus partial", "ietf", "chunks", "media", "raw", "form"],
)
def test_asvs_5_2_4_every_dialect_is_refused_above_the_limit_of_its_address(
    app: Any, method: str, path: str, options: dict[str, Any]
) -> None:
    paths = [create(app).headers["location"] for _ in range(2)]
    refused = send(app, method, path, **options)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "30"
    if "Upload-Complete" not in options.get("headers", {}):
        document = refused.json()
        assert document["type"] == "/problems/too-many-uploads"
        assert (document["limit"], document["open"]) == (2, 2)
        assert "2 uploads from this address are open, and the limit is 2." in document["detail"]
    assert create(app, client="127.0.0.2").status_code == 201
    assert send(app, "DELETE", paths[0], headers=TUS).status_code == 204
    assert send(app, method, path, **options).is_success


def test_a_body_that_is_received_counts_until_its_reply(app: Any) -> None:
    """A raw body leaves nothing open, whether it was stored or was above the limit of its size."""
    for _ in range(4):
        assert send(app, "PUT", "/files/a.bin", content=LARGE).status_code == 201
        assert send(app, "POST", "/files/?profile=none", content=LARGE).status_code == 422
    assert [create(app).status_code for _ in range(3)] == [201, 201, 429]


def test_addresses_are_those_that_trusted_proxies_report(app: Any, configure: Configure) -> None:
    configure(TRUSTED_PROXIES="192.0.2.8")

    def begin(address: str, proxy: str = "192.0.2.8") -> int:
        return create(app, client=proxy, headers={"X-Forwarded-For": address}).status_code

    assert [begin(f"2001:db8:1:2::{host}") for host in range(1, 5)] == [201, 201, 429, 429]
    assert begin("2001:db8:1:3::1") == 201
    assert [begin(f"203.0.113.{host}", "192.0.2.9") for host in range(1, 5)] == [201, 201, 429, 429]


def test_parts_of_a_concatenation_do_not_count_beside_it_nor_after_it(app: Any, configure: Configure) -> None:
    """With as many parts as uploads may be open, of the address and of the owner."""
    configure(AUTH_MODE="required", MAX_OPEN_UPLOADS_PER_OWNER="2")
    headers = {"Authorization": f"Bearer {new_token()}"}
    parts = [send(app, "POST", "/files/", headers=headers | PARTIAL).headers["location"] for _ in range(2)]
    final = headers | TUS | {"Upload-Concat": "final;" + " ".join(parts)}
    assert send(app, "POST", "/files/", headers=headers | PARTIAL).status_code == 429
    for part in parts:
        body = headers | TUS | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
        assert send(app, "PATCH", part, headers=body, content=b"ab").status_code == 204
    assert send(app, "POST", "/files/", headers=final).status_code == 201
    assert create(app, headers={"Authorization": f"Bearer {new_token()}"}).status_code == 201


def new_token() -> str:
    import uuid

    from windlass.accounts.api import create_token

    return create_token(f"user-{uuid.uuid4().hex[:12]}")


def test_all_owners_behind_an_address_count_together(
    app: Any, configure: Configure, user: Callable[..., ApiClient]
) -> None:
    configure(AUTH_MODE="required")
    found = [create(app, headers=user().headers).status_code for _ in range(3)]
    assert found == [201, 201, 429]


@pytest.mark.parametrize(
    ("settings", "client", "shown", "most"),
    [
        ({"WINDLASS_MAX_OPEN_UPLOADS_PER_ADDRESS": ""}, "127.0.0.1", (None, 1000, False), None),
        ({"WINDLASS_MAX_OPEN_UPLOADS_PER_ADDRESS": "0"}, "192.0.2.1", (None, None, True), None),
        ({"WINDLASS_MAX_OPEN_UPLOADS_PER_ADDRESS": "1"}, "127.0.0.1", (None, 1, True), 1),
        ({"MAX_OPEN_UPLOADS_PER_OWNER": "1"}, "127.0.0.1", (1, 2, True), 1),
    ],
    ids=["this machine by default", "off", "set", "owner"],
)
def test_the_configuration_shows_what_is_in_effect(
    app: Any,
    configure: Configure,
    settings: dict[str, str],
    client: str,
    shown: tuple[int | None, int | None, bool],
    most: int | None,
) -> None:
    from windlass.files.models import UploadSession

    UploadSession.objects.filter(status="active").update(owner="other")
    configure(**settings)
    found = send(app, "GET", "/files/security/config/").json()["open_uploads"]
    assert (found["per_owner"], found["per_address"], found["applies_to_this_machine"]) == shown
    statuses = [create(app, client=client).status_code for _ in range(4)]
    assert statuses.count(201) == (4 if most is None else most)


def test_the_address_itself_is_not_stored_and_the_key_only_while_the_upload_is_open(app: Any) -> None:
    from windlass.files.models import UploadSession

    path = create(app, client="192.0.2.77").headers["location"]
    row = UploadSession.objects.filter(id=path.rsplit("/", 1)[1])
    stored = row.values().get()
    assert len(stored["address_key"]) == 32
    assert "192.0.2" not in str(stored)
    send(app, "DELETE", path, headers=TUS, client="192.0.2.77")
    assert row.get().address_key == ""
