"""Access tokens: the JWTs that this server gives to users who sign in.

Their ``typ`` tells them from those of other issuers (RFC 8725, 3.11), and their key is derived from SECRET_KEY, so
neither is ever verified with the key of the other.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from windlass.accounts import signing_keys
from windlass.accounts.json_web_tokens import verification
from windlass.accounts.json_web_tokens.verification import Header
from windlass.kernel.clock import now
from windlass.kernel.ids import parse_id
from windlass.kernel.jwt_keys import VerificationKey
from windlass.kernel.problem_types import InvalidToken

TYPE = "windlass-access+jwt"
_PURPOSE, _ALGORITHM, _ISSUER = "windlass.access-token", "HS256", "windlass"


def make_access_token(sign_in: uuid.UUID, subject: str, expires_at: datetime) -> str:
    import jwt

    claims = {
        "iss": _ISSUER,
        "sub": subject,
        "sid": str(sign_in),
        "iat": int(now().timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    return jwt.encode(claims, signing_keys.derived_keys(_PURPOSE)[0], _ALGORITHM, headers={"typ": TYPE})


def sign_in_of(token: str, header: Header) -> uuid.UUID:
    """The sign-in that the token belongs to. Raises InvalidToken."""
    keys = [VerificationKey(key, frozenset({_ALGORITHM})) for key in signing_keys.derived_keys(_PURPOSE)]
    claims: dict[str, Any] = verification.verify_signature(token, header, keys, (_ALGORITHM,))
    verification.check_times(claims, now().timestamp(), leeway=0)
    verification.check_issuer(claims, _ISSUER)
    found = parse_id(str(claims.get("sid")))
    if found is None:
        raise InvalidToken("The token belongs to no sign-in.")
    return found
