"""Signed URLs: a signature in the query is the credential for one path until it expires."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from windlass.accounts import signing_keys
from windlass.kernel.ids import parse_id

SALT = "windlass.download"


def signed_path(file_id: uuid.UUID | None, rendition: str | None = None) -> str:
    """The path of a file's bytes, or of a rendition's, as it is signed."""
    return f"/files/{file_id}/download/" if rendition is None else f"/files/{file_id}/renditions/{rendition}/"


def path_of_request(parameters: Mapping[str, Any]) -> str:
    """The same for the parameters of a request's path, in its one spelling."""
    name = parameters.get("name")
    return signed_path(parse_id(str(parameters.get("file_id", ""))), None if name is None else str(name))


def sign_path(path: str, expires_in: int) -> tuple[str, datetime]:
    """``path`` with a signature in its query, and when that expires. ``expires_in`` is seconds."""
    expires = int(time.time()) + expires_in
    query = urlencode({"expires": expires, "signature": signing_keys.signature(SALT, _signed_text(path, expires))})
    return f"{path}?{query}", datetime.fromtimestamp(expires, UTC)


def is_signature_valid(path: str, expires: str | None, signature: str | None) -> bool:
    """Whether these query parameters are a signature of this path that has not expired."""
    return is_signature_genuine(path, expires, signature) and int(expires or "0") > time.time()


def is_signature_genuine(path: str, expires: str | None, signature: str | None) -> bool:
    """Whether these query parameters are a signature of this path, which may have expired."""
    if not expires or not signature or not expires.isascii() or not expires.isdigit() or len(expires) > 12:
        return False
    return signing_keys.is_signature(SALT, _signed_text(path, int(expires)), signature)


def _signed_text(path: str, expires: int) -> str:
    return f"{path}\n{expires}"
