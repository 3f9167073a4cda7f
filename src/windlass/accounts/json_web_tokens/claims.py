"""What the claims of another issuer's token say about its caller. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windlass.kernel.problem_types import InvalidToken
from windlass.kernel.stored_text import is_storable

#: Characters of the longest ``sub`` that is accepted: it is stored with every record of its owner.
MAX_SUBJECT_LENGTH = 150


def subject_of(claims: Mapping[str, Any]) -> str:
    """Raises InvalidToken."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise InvalidToken('The token has no "sub", which names its owner.')
    if len(subject) > MAX_SUBJECT_LENGTH:
        raise InvalidToken(f'"sub" of the token has more than {MAX_SUBJECT_LENGTH} characters.')
    if not subject.isprintable() or not is_storable(subject):
        raise InvalidToken('"sub" of the token has characters that cannot be stored.')
    return subject


def is_staff(claims: Mapping[str, Any], name: str, value: str) -> bool:
    """Whether the claim ``name`` makes the caller staff: it is ``true``, or has ``value``, alone or in its list."""
    claim = _find(claims, name) if name else None
    if not value:
        return claim is True
    return value in claim if isinstance(claim, list) else claim == value


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name; or, where the name has dots, a claim within others."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
