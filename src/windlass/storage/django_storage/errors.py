"""What Django storages raise, in the words of the contract.

They raise whatever their library does, so it is told by the kind of the error where Python knows it, by the HTTP status
that most cloud libraries put on theirs, and else taken for a failure to reach the storage.
"""

from __future__ import annotations

import errno
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation

from windlass.storage.contract import ObjectMissing, StoreError, StoreFull, StoreUnavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
#: The request will not succeed however often it is sent.
_WRONG = (ArithmeticError, AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)
_BUSY = {401, 403, 408, 429}


def told(error: Exception, key: str) -> StoreError:
    """The error to raise. Its text names no address, bucket or credential, which the library's own may do."""
    reason = f"{key or 'the storage'}: {type(error).__name__}"
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status == 404:
        return ObjectMissing(reason)
    if status is not None:
        return _of_status(status, f"{reason} ({status})")
    if isinstance(error, OSError):
        return _of_system(error, reason)
    if isinstance(error, (*_WRONG, ImproperlyConfigured, SuspiciousOperation)):
        return StoreError(reason)
    return StoreUnavailable(reason)


def _of_system(error: OSError, reason: str) -> StoreError:
    if error.errno in _FULL:
        return StoreFull(reason)
    return ObjectMissing(reason) if error.errno in _MISSING else StoreUnavailable(reason)


def _of_status(status: int, reason: str) -> StoreError:
    """Wrong keys count as away: the request is not at fault, and can succeed when an operator has put them right."""
    if status == 507:
        return StoreFull(reason)
    return StoreUnavailable(reason) if status in _BUSY or status >= 500 else StoreError(reason)


def _status(error: Exception) -> int | None:
    """The HTTP status of botocore's errors, of Azure's and requests', and of Google's."""
    response: Any = getattr(error, "response", None)
    found: Any = None
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif response is not None:
        found = getattr(response, "status_code", None)
    for name in ("status_code", "code"):
        found = getattr(error, name, None) if found is None else found
    return found if isinstance(found, int) and 400 <= found < 600 else None
