"""Verify the signature of a JSON Web Token (RFC 7515, compact form) and its claims (RFC 7519). No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from windlass.kernel import json_text
from windlass.kernel.jwt_keys import VerificationKey, candidates
from windlass.kernel.problem_types import BadRequest, InvalidToken

#: Characters of the longest token that is looked at.
MAX_TOKEN_LENGTH = 8192
#: Signatures that one request may have verified, where several keys fit a token without ``kid``.
MAX_CANDIDATES = 10


@dataclass(frozen=True, slots=True)
class Header:
    """What a token says about its signature. Nothing of it is trusted before the signature is verified."""

    algorithm: str
    kid: str | None
    type: str


class NoKeyForToken(InvalidToken):
    """No key of the issuer fits the token: it may have been signed with a newer one."""


def is_compact_jws(credential: str) -> bool:
    """Whether a bearer credential has the form of a JWT; API tokens have no dots."""
    return credential.count(".") == 2


def read_header(token: str) -> Header:
    """Raises InvalidToken."""
    import jwt

    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidToken(f"The token has {len(token)} characters; at most {MAX_TOKEN_LENGTH} are accepted.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise InvalidToken("The token is no JSON Web Token: its header cannot be read.") from error
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or not isinstance(kind, str):
        raise InvalidToken('The header of the token must have texts as "alg", "kid" and "typ".')
    if "crit" in header:
        raise InvalidToken('The header of the token has "crit", and no extension is supported.')
    return Header(algorithm, kid, kind.lower())


def verify_signature(
    token: str, header: Header, keys: Collection[VerificationKey], allowed: Collection[str]
) -> dict[str, Any]:
    """The claims of the token, if one of ``keys`` signed it with an algorithm of its own that is also ``allowed``.

    Raises NoKeyForToken if no key fits the header, InvalidToken.
    """
    if header.algorithm not in allowed:
        raise InvalidToken(f"The algorithm of the token is not accepted (accepted: {', '.join(sorted(allowed))}).")
    fitting = candidates(keys, header.algorithm, header.kid)
    if not fitting:
        raise NoKeyForToken("The token is signed with a key that is not known here.")
    for key in fitting[:MAX_CANDIDATES]:
        payload = _verified_payload(token, header.algorithm, key)
        if payload is not None:
            return _claims(payload)
    raise InvalidToken("The signature of the token is wrong.")


def check_times(claims: Mapping[str, Any], now: float, leeway: float) -> float:
    """Return when the token expires, in seconds since 1970. Raises InvalidToken if it has expired, is not valid yet, or
    says nothing about its expiry."""
    expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise InvalidToken('The token has no "exp": tokens that never expire are not accepted.')
    if now >= expires + leeway:
        raise InvalidToken("The token has expired.")
    if begins is not None and now < begins - leeway:
        raise InvalidToken("The token is not valid yet.")
    if issued is not None and now < issued - leeway:
        raise InvalidToken("The token was issued in the future.")
    return expires


def check_issuer(claims: Mapping[str, Any], issuer: str) -> None:
    """``issuer``: the only one that is accepted; empty: any. Raises InvalidToken."""
    if issuer and claims.get("iss") != issuer:
        raise InvalidToken("The token is of another issuer.")


def check_audience(claims: Mapping[str, Any], accepted: Sequence[str]) -> None:
    """Raises InvalidToken if the token is for others. One for a named audience is refused where none is ``accepted``
    (RFC 7519, 4.1.3)."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if named is None and not accepted:
        return
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise InvalidToken('The token names no audience: "aud" must be a text or a list of texts.')
    if not set(named) & set(accepted):
        hint = "" if accepted else " JWT_AUDIENCE names the audiences that are accepted."
        raise InvalidToken(f"The token is for another audience.{hint}")


def _verified_payload(token: str, algorithm: str, key: VerificationKey) -> bytes | None:
    import jwt

    try:
        decoded = jwt.PyJWS().decode_complete(token, key.key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    payload: bytes = decoded["payload"]
    return payload


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = json_text.parse(payload)
    except BadRequest as error:
        raise InvalidToken("The claims of the token are no JSON.") from error
    if not isinstance(claims, dict):
        raise InvalidToken("The claims of the token must be a JSON object.")
    return claims


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate: seconds since 1970. Raises InvalidToken."""
    value = claims.get(name)
    if value is None:
        return None
    try:
        seconds = float(value) if type(value) in (int, float) else None
    except OverflowError:
        seconds = None
    if seconds is None or not isfinite(seconds):
        raise InvalidToken(f'"{name}" of the token must be a number of seconds since 1970.')
    return seconds
