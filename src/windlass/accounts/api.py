"""The public names of the accounts app: who is asking, what proves it, and what an endpoint takes."""

from windlass.accounts.access import (
    CONTINUE_UPLOAD,
    CREATE_UPLOAD,
    DOWNLOAD,
    METRICS,
    OWNER,
    PUBLIC,
    STAFF,
    Access,
)
from windlass.accounts.authentication import CsrfTokenMissing, needs_no_lookup, prove, prove_scope
from windlass.accounts.grants import PARAMETER as GRANT_PARAMETER
from windlass.accounts.grants import PREFIX as GRANT_PREFIX
from windlass.accounts.grants import claim as claim_grant
from windlass.accounts.grants import create as create_grant
from windlass.accounts.grants import give_back as give_grant_back
from windlass.accounts.grants import prune as prune_grants
from windlass.accounts.grants import upload_of as upload_of_grant
from windlass.accounts.revocation import listen as listen_for_revocations
from windlass.accounts.signatures import sign, verify
from windlass.accounts.tokens import create as create_token
from windlass.accounts.tokens import every as list_tokens
from windlass.accounts.tokens import revoke as revoke_token
from windlass.accounts.users import UserError, is_staff
from windlass.accounts.users import ensure as ensure_user
from windlass.accounts.users import every as list_users
from windlass.accounts.users import find as find_user

__all__ = [
    "CONTINUE_UPLOAD",
    "CREATE_UPLOAD",
    "DOWNLOAD",
    "GRANT_PARAMETER",
    "GRANT_PREFIX",
    "METRICS",
    "OWNER",
    "PUBLIC",
    "STAFF",
    "Access",
    "CsrfTokenMissing",
    "UserError",
    "claim_grant",
    "create_grant",
    "create_token",
    "ensure_user",
    "find_user",
    "give_grant_back",
    "is_staff",
    "list_tokens",
    "list_users",
    "listen_for_revocations",
    "needs_no_lookup",
    "prove",
    "prove_scope",
    "prune_grants",
    "revoke_token",
    "sign",
    "upload_of_grant",
    "verify",
]
