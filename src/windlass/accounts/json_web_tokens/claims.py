"""What the claims of another issuer's token say about its caller. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windlass.accounts.scopes import parse_scopes
from windlass.kernel.principals import ALL_SCOPES, Scope
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


def scopes_of(claims: Mapping[str, Any], name: str) -> frozenset[Scope]:
    """The scopes in the claim ``name``, of which those of other applications are ignored; all if there is none.

    Raises InvalidToken.
    """
    claim = claims.get(name)
    if claim is None:
        return ALL_SCOPES
    words = claim.split() if isinstance(claim, str) else claim
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidToken(f'"{name}" of the token must be a text of scopes, separated by spaces, or a list of texts.')
    return parse_scopes(words)


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
