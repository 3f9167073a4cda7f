"""Limits on how many uploads are open at a time: those of one owner, and those that were begun at one address.

Addresses are counted by a keyed hash in the session's row, which is removed when the upload ends: nothing else needs
to know where an upload came from.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.utils.crypto import salted_hmac

from windlass import conf
from windlass.database import rows
from windlass.database.connection import connection
from windlass.files import quota
from windlass.files.models import UploadSession
from windlass.files.states import UNFINISHED_UPLOADS
from windlass.kernel import network_addresses
from windlass.kernel.problem_types import TooManyUploads

#: Characters of an address key: 128 bits, in hexadecimal.
ADDRESS_KEY_LENGTH = 32
#: First key of the PostgreSQL advisory locks of addresses ("ADDR" in ASCII). Locks with two keys never equal those
#: with one.
_ADDRESS_LOCK = 0x41444452


def address_key(address: str) -> str:
    """Return the key under which uploads begun at this IP address are counted; empty where they are not."""
    settings = conf.get()
    if not address or not settings.open_uploads_per_address:
        return ""
    may_be_exempt = settings.max_open_uploads_per_address is None and not settings.credentials_required
    if may_be_exempt and network_addresses.is_loopback(address):
        return ""
    counted = network_addresses.counting_key(address)
    return salted_hmac("windlass.open-uploads", counted, algorithm="sha256").hexdigest()[:ADDRESS_KEY_LENGTH]


def require_open_upload_allowed(owner: str, address: str, parts: Sequence[uuid.UUID] = ()) -> None:
    """Raises TooManyUploads if so many uploads of the owner, or of the address key, are open that no other may be.

    ``parts``: of the concatenation to create. They do not count beside it, so that whoever has sent as many parts as
    are allowed can concatenate them. Owner and address stay locked until the caller's transaction ends, so concurrent
    calls cannot exceed a limit.
    """
    settings = conf.get()
    others = {"status": rows.OneOf(UNFINISHED_UPLOADS), "id": rows.NoneOf(parts)}
    if limit := settings.max_open_uploads_per_owner:
        quota.lock_account(owner)
        _require_fewer(others | {"owner": owner}, limit, "of this owner")
    if address and (limit := settings.open_uploads_per_address):
        _lock_address(address)
        _require_fewer(others | {"address_key": address}, limit, "from this address")


def _require_fewer(uploads: rows.Conditions, limit: int, whose: str) -> None:
    unfinished = rows.count(UploadSession, uploads)
    if unfinished >= limit:
        raise TooManyUploads(
            f"{unfinished} uploads {whose} are open, and the limit is {limit}. Complete or cancel some of them first.",
            limit=limit,
            open=unfinished,
        )


def _lock_address(address: str) -> None:
    """SQLite needs no lock: its transactions write one after the other."""
    if connection().vendor == "postgresql":
        with connection().cursor() as cursor:
            number = int(address[:8], 16) - 2**31
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_ADDRESS_LOCK, number])
