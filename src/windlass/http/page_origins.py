"""Which pages may open a WebSocket with the credentials that a browser adds by itself.

CORS does not apply to WebSockets: a page of any site may open one, and the browser sends this server's cookies with it
(cross-site WebSocket hijacking). In open mode no credential is needed at all. So there the page's origin is checked.
"""

from __future__ import annotations

from windlass import conf
from windlass.conf.validators import ANY_ORIGIN, NULL_ORIGIN
from windlass.http.middleware import Scope, header
from windlass.kernel.principals import CredentialKind, Principal
from windlass.kernel.problem_types import Forbidden

#: Credentials that the page did not have to know.
_AMBIENT = frozenset({CredentialKind.SESSION, CredentialKind.OPEN})


def require_own_page(scope: Scope, principal: Principal) -> None:
    """Raise Forbidden if a page of an origin that is not allowed sent this handshake.

    ``scope``: of the handshake as a request, as the client sees it. Programs send no Origin.
    """
    origin = header(scope, b"origin")
    if origin is None or principal.credential not in _AMBIENT:
        return
    settings = conf.get()
    allowed = {f"{scope['scheme']}://{header(scope, b'host')}", *settings.csrf_trusted_origins}
    allowed |= set(settings.cors_allowed_origins)
    if origin in allowed - {ANY_ORIGIN, NULL_ORIGIN}:
        return
    # These two do not allow cookies (Fetch, "CORS protocol and credentials"; the frame of any page can have the origin
    # null).
    if principal.credential is CredentialKind.OPEN and {ANY_ORIGIN, origin} & allowed:
        return
    raise Forbidden(
        f"Pages of {origin} may not open a WebSocket here without a token or a ticket of their own. "
        "CORS_ALLOWED_ORIGINS lists the allowed origins."
    )
