"""Who may download a file: owners, staff and signed links."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import httpx
import pytest

from tests.integration.downloads.served_files import a_file, a_rendition, path
from windlass.accounts import api as accounts
from windlass.files.api import FileStatus


def _owner(headers: dict[str, str]) -> str:
    from windlass.accounts.tokens import principal_of_token

    found = principal_of_token(headers["Authorization"].removeprefix("Bearer "))
    assert found
    return found.owner


def test_another_users_file_is_not_found(client: httpx.Client, token: Callable[..., dict[str, str]]) -> None:
    alice, bob, staff = token("alice"), token("bob"), token("boss", staff=True)
    asset = a_file(b"hers", owner=_owner(alice))
    a_rendition(asset)
    for end in ("download", "thumbnail", "renditions/thumbnail"):
        url = f"/files/{asset.id}/{end}"
        assert client.get(url, headers=alice).status_code == 200
        assert client.get(url, headers=staff).status_code == 200
        assert client.get(url, headers=bob).status_code == 404
        assert client.get(url, headers={"Authorization": "Bearer wl_wrong"}).status_code == 401


def test_an_unknown_file_gets_the_reply_of_another_users_file(
    client: httpx.Client, token: Callable[..., dict[str, str]]
) -> None:
    other = a_file(owner="user:other")
    bob = token("bob")
    for name in (str(uuid.uuid4()), str(other.id), "nonsense", str(other.id).replace("-", "")):
        reply = client.get(f"/files/{name}/download", headers=bob)
        assert (reply.status_code, reply.json()["detail"]) == (404, f"There is no file {name}.")


@pytest.mark.usefixtures("credentials_required")
def test_a_signed_link_needs_no_other_credential(client: httpx.Client) -> None:
    asset, other = a_file(b"signed"), a_file(b"other")
    link, _ = accounts.sign_path(f"/files/{asset.id}/download/", 60)
    link = link.replace("/?", "?")  # the front door strips trailing slashes
    assert client.get(path(asset)).status_code == 401
    assert client.get(link).content == b"signed"
    assert client.head(link).status_code == 200
    assert client.get(link.replace(str(asset.id), str(other.id))).status_code == 403
    assert client.get(f"/files/{asset.id}/thumbnail?{link.partition('?')[2]}").status_code == 401


def test_an_invalid_or_expired_link_is_refused(client: httpx.Client) -> None:
    asset = a_file()
    old, _ = accounts.sign_path(f"/files/{asset.id}/download/", -1)
    good, _ = accounts.sign_path(f"/files/{asset.id}/download/", 60)
    longer = re.sub(r"expires=(\d+)", lambda found: f"expires={int(found[1]) + 9}", good)
    for link in (old, longer, good + "0", good.replace("expires", "expire"), f"{path(asset)}?signature="):
        reply = client.get(link.replace("/?", "?"))
        assert reply.status_code == 403
        assert "expired" in reply.json()["detail"]


def test_a_signed_link_to_a_deleted_or_refused_file_is_refused(client: httpx.Client) -> None:
    missing, refused = uuid.uuid4(), a_file(status=FileStatus.QUARANTINED)
    for file_id, status in ((missing, 404), (refused.id, 403)):
        link, _ = accounts.sign_path(f"/files/{file_id}/download/", 60)
        reply = client.get(link.replace("/?", "?"))
        assert reply.status_code == status
        assert reply.headers["content-type"] == "application/problem+json"
