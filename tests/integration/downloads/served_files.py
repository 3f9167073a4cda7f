"""Files with bytes in the store, as downloads serve them, and what every reply must have."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import httpx

from windlass.files.api import Blob, FileAsset, FileStatus, Rendition
from windlass.kernel.ids import new_id
from windlass.storage.registry import store

DATA = b"".join(n.to_bytes(4, "big") for n in range(700_000))  # several blocks, and no two stretches alike


def a_file(data: bytes = DATA, **values: Any) -> FileAsset:
    key = f"objects/ab/{new_id()}"
    store().put(key, io.BytesIO(data), len(data))
    sha256 = hashlib.sha256(data).hexdigest()
    owner = values.setdefault("owner", "user:1")
    blob = Blob.objects.create(owner=owner, store="local", key=key, size=len(data), sha256=sha256)
    defaults = {
        "status": FileStatus.READY,
        "gate_passed": True,
        "original_filename": "report.pdf",
        "mime_type": "application/pdf",
        "checksum": sha256,
        "profile": "default",
    }
    return FileAsset.objects.create(blob=blob, size=len(data), **(defaults | values))


def a_rendition(asset: FileAsset, name: str = "thumbnail", data: bytes = b"picture") -> Rendition:
    key = f"renditions/{asset.id}/{name}"
    store().put(key, io.BytesIO(data), len(data))
    return Rendition.objects.create(
        file=asset, name=name, kind="image", mime_type="image/webp", store="local", key=key, size=len(data)
    )


def path(asset: FileAsset) -> str:
    return f"/files/{asset.id}/download"


def etag(asset: FileAsset) -> str:
    return f'"{asset.checksum}"'


def assert_safe_headers(reply: httpx.Response, mime_type: str) -> None:
    assert reply.headers["content-type"] == mime_type
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"] == "sandbox"
