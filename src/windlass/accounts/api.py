"""The door of the accounts app: who is asking, and the credentials that prove it."""

from windlass.accounts.authentication import has_credential, of_request, of_scope
from windlass.accounts.signatures import sign, verify
from windlass.accounts.tokens import create as create_token
from windlass.accounts.tokens import every as list_tokens
from windlass.accounts.tokens import revoke as revoke_token

__all__ = ["create_token", "has_credential", "list_tokens", "of_request", "of_scope", "revoke_token", "sign", "verify"]
