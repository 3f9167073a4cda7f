"""Tokens of the issuer that the settings name: an identity provider, or another application."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from windlass import conf
from windlass.accounts import users
from windlass.accounts.json_web_tokens import claims as of_claims
from windlass.accounts.json_web_tokens import verification
from windlass.accounts.json_web_tokens.key_set import key_set
from windlass.accounts.json_web_tokens.verification import Header
from windlass.accounts.proofs import proof_until
from windlass.kernel.clock import now
from windlass.kernel.jwt_keys import VerificationKey
from windlass.kernel.principals import USER_PREFIX, CredentialKind, Principal, Scope, owner_of_user
from windlass.kernel.problem_types import InvalidToken


def principal_of_issuer_token(token: str, header: Header) -> Principal:
    """Raises InvalidToken; Unavailable if the issuer's keys could not be fetched. May query the database."""
    settings = conf.get()
    if not settings.jwt_configured:
        raise InvalidToken("JSON Web Tokens are not accepted here.")
    claims = verification.verify_signature(token, header, _keys(), settings.jwt_algorithms)
    expires = verification.check_times(claims, now().timestamp(), settings.jwt_leeway_seconds)
    verification.check_issuer(claims, settings.jwt_issuer)
    verification.check_audience(claims, settings.jwt_audience)
    subject = of_claims.subject_of(claims)
    scopes = of_claims.scopes_of(claims, settings.jwt_scope_claim)
    staff = of_claims.is_staff(claims, settings.jwt_staff_claim, settings.jwt_staff_value)
    owner, user_id = settings.jwt_owner_prefix + subject, None
    if settings.jwt_owner_prefix == USER_PREFIX:
        user = _user(subject)
        owner, user_id, staff = owner_of_user(user.pk), user.pk, staff or users.is_staff(user)
    staff = staff and Scope.ADMIN in scopes
    return Principal(
        owner,
        staff=staff,
        user_id=user_id,
        credential=CredentialKind.JWT,
        scopes=scopes,
        proof=proof_until(expires + settings.jwt_leeway_seconds),
    )


def fetch_keys_for(header: Header) -> None:
    """Fetch the issuer's keys if this token needs a fetch. Blocks on the network."""
    keys = key_set()
    if keys is not None:
        keys.fetch_if_needed(header.kid)


def needs_fetch(header: Header) -> bool:
    keys = key_set()
    return keys is not None and keys.needs_fetch(header.kid)


def _keys() -> Collection[VerificationKey]:
    keys = key_set()
    return keys.keys if keys is not None else conf.jwt_static_keys(conf.get())


def _user(subject: str) -> Any:
    """Raises InvalidToken if there is no such user, who may sign in."""
    user = users.find_by_key(subject)
    if user is None or not users.is_active(user):
        raise InvalidToken('"sub" of the token is no user of this server who may sign in.')
    return user
