"""The door of the accounts app: who is asking, and the credentials that prove it."""

from windlass.accounts.authentication import CsrfTokenMissing, has_credential, of_request, of_scope
from windlass.accounts.grants import PARAMETER as GRANT_PARAMETER
from windlass.accounts.grants import PREFIX as GRANT_PREFIX
from windlass.accounts.grants import claim as claim_grant
from windlass.accounts.grants import create as create_grant
from windlass.accounts.grants import give_back as give_grant_back
from windlass.accounts.grants import prune as prune_grants
from windlass.accounts.grants import upload_of as upload_of_grant
from windlass.accounts.signatures import sign, verify
from windlass.accounts.tokens import create as create_token
from windlass.accounts.tokens import every as list_tokens
from windlass.accounts.tokens import revoke as revoke_token

__all__ = [
    "GRANT_PARAMETER",
    "GRANT_PREFIX",
    "CsrfTokenMissing",
    "claim_grant",
    "create_grant",
    "create_token",
    "give_grant_back",
    "has_credential",
    "list_tokens",
    "of_request",
    "of_scope",
    "prune_grants",
    "revoke_token",
    "sign",
    "upload_of_grant",
    "verify",
]
