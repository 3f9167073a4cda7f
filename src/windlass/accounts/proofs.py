"""Names of credentials that may end before a connection that they opened, and whether they still prove their caller."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.utils.module_loading import import_string

from windlass import conf
from windlass.accounts import users
from windlass.accounts.models import ApiToken, SignIn
from windlass.kernel.clock import now
from windlass.kernel.principals import ANONYMOUS, Principal, owner_of_user

#: The key in a session under which the digest of its API token is stored (``accounts.sessions``).
TOKEN_OF_SESSION = "windlass_token"  # noqa: S105  a key, no secret
_TOKEN, _SIGN_IN, _SESSION, _EXPIRY = "token:", "sign-in:", "session:", "until:"


def proof_of_token(number: int) -> str:
    return f"{_TOKEN}{number}"


def proof_of_sign_in(sign_in: uuid.UUID) -> str:
    return f"{_SIGN_IN}{sign_in}"


def proof_of_session(key: str) -> str:
    return f"{_SESSION}{key}"


def proof_until(seconds: float) -> str:
    """Of a credential that only expires: when, in seconds since 1970."""
    return f"{_EXPIRY}{seconds}"


def still_proves(principal: Principal) -> bool:
    """Whether the credential is still valid and its user still has these rights. Blocks on the database."""
    if principal.owner == ANONYMOUS.owner:
        return not conf.get().credentials_required
    if not users.may_sign_in(principal.owner) or not _is_valid(principal):
        return False
    # The rights of staff that a claim gives last as long as the token.
    return not principal.staff or principal.proof.startswith(_EXPIRY) or users.is_staff_owner(principal.owner)


def _is_valid(principal: Principal) -> bool:
    kind, _, name = principal.proof.partition(":")
    match f"{kind}:":
        case "token:":
            return _is_unexpired(ApiToken.objects.filter(pk=name).first())
        case "sign-in:":
            found = SignIn.objects.filter(pk=name, expires_at__gt=now()).first()
            user = None if found is None else users.get_user(found.user_id)
            return found is not None and user is not None and users.is_password_mark(user, found.password_mark)
        case "session:":
            return _owner_of_session(name) == principal.owner
        case "until:":
            return now().timestamp() < float(name)
    return False


def _is_unexpired(token: ApiToken | None) -> bool:
    return token is not None and (token.expires_at is None or token.expires_at > now())


def _owner_of_session(key: str) -> str:
    """The owner who is signed in with the session of this key; empty if nobody is."""
    request = HttpRequest()
    request.session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")(key)
    owner = users.owner_of(get_user(request))
    if owner or TOKEN_OF_SESSION not in request.session:
        return owner
    token = ApiToken.objects.filter(digest=request.session[TOKEN_OF_SESSION]).first()
    return "" if token is None or not _is_unexpired(token) else owner_of_user(token.user_id)
