"""Public interface of the accounts app: credentials of endpoints, authentication, users, tokens, grants."""

from windlass.accounts.access import (
    CONTINUE_UPLOAD,
    CREATE_UPLOAD,
    DOWNLOAD,
    METRICS,
    OWNER,
    OWNER_READS,
    PUBLIC,
    STAFF,
    Access,
)
from windlass.accounts.authentication import (
    CsrfTokenMissing,
    authenticate,
    authenticate_scope,
    needs_no_database,
    token_that_needs_keys,
)
from windlass.accounts.grants import (
    GRANT_PARAMETER,
    GRANT_PREFIX,
    claim_grant,
    create_grant,
    prune_grants,
    release_grant,
    upload_of_grant,
)
from windlass.accounts.json_web_tokens.issuer import fetch_keys_for
from windlass.accounts.json_web_tokens.key_set import check_jwks, jwks_breaker_names
from windlass.accounts.revocation import listen_for_revocations
from windlass.accounts.scopes import parse_scopes, scopes_text
from windlass.accounts.signed_urls import is_signature_valid, sign_path
from windlass.accounts.tokens import create_token, list_tokens, revoke_token
from windlass.accounts.users import UserError, ensure_user, find_user, is_staff, is_staff_owner, list_users, may_sign_in
from windlass.accounts.wrong_credentials import (
    Presented,
    ProvedCredentials,
    count_if_wrong,
    presented_credential,
    require_may_try,
)

__all__ = [
    "CONTINUE_UPLOAD",
    "CREATE_UPLOAD",
    "DOWNLOAD",
    "GRANT_PARAMETER",
    "GRANT_PREFIX",
    "METRICS",
    "OWNER",
    "OWNER_READS",
    "PUBLIC",
    "STAFF",
    "Access",
    "CsrfTokenMissing",
    "Presented",
    "ProvedCredentials",
    "UserError",
    "authenticate",
    "authenticate_scope",
    "check_jwks",
    "claim_grant",
    "count_if_wrong",
    "create_grant",
    "create_token",
    "ensure_user",
    "fetch_keys_for",
    "find_user",
    "is_signature_valid",
    "is_staff",
    "is_staff_owner",
    "jwks_breaker_names",
    "list_tokens",
    "list_users",
    "listen_for_revocations",
    "may_sign_in",
    "needs_no_database",
    "parse_scopes",
    "presented_credential",
    "prune_grants",
    "release_grant",
    "require_may_try",
    "revoke_token",
    "scopes_text",
    "sign_path",
    "token_that_needs_keys",
    "upload_of_grant",
]
