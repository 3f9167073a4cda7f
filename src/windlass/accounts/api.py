"""Public interface of the accounts app: credentials of endpoints, authentication, users, tokens, signing in, grants."""

from windlass.accounts.access import (
    CONTINUE_UPLOAD,
    CREATE_UPLOAD,
    DOWNLOAD,
    LIVE,
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
    require_csrf_token,
    still_authenticates,
    token_that_needs_keys,
)
from windlass.accounts.followed_events import MayNotFollow, require_may_follow
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
from windlass.accounts.owner_data import (
    close_account,
    delete_admin_history,
    delete_user,
    key_callers,
    owner_named,
    owner_rows,
    sessions_of,
    user_of,
)
from windlass.accounts.page_users import principal_of_user
from windlass.accounts.permission_rule import readable_by_owner
from windlass.accounts.revocation import listen_for_revocations
from windlass.accounts.sessions import begin_for_user, begin_with_password, begin_with_token, end_session, has_token
from windlass.accounts.sign_in import SignInTokens, end_sign_in, prune_sign_ins, refresh, sign_in
from windlass.accounts.signed_urls import is_signature_valid, sign_path
from windlass.accounts.tickets import LIFETIME_SECONDS as TICKET_SECONDS
from windlass.accounts.tickets import PARAMETER as TICKET_PARAMETER
from windlass.accounts.tickets import create_ticket, prune_tickets
from windlass.accounts.tokens import create_token, list_tokens, revoke_token
from windlass.accounts.users import (
    UserError,
    ensure_user,
    find_user,
    has_staff,
    is_staff,
    is_staff_owner,
    list_users,
    may_sign_in,
    name_of_owner,
    set_active,
    user_name,
)
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
    "LIVE",
    "METRICS",
    "OWNER",
    "OWNER_READS",
    "PUBLIC",
    "STAFF",
    "TICKET_PARAMETER",
    "TICKET_SECONDS",
    "Access",
    "CsrfTokenMissing",
    "MayNotFollow",
    "Presented",
    "ProvedCredentials",
    "SignInTokens",
    "UserError",
    "authenticate",
    "authenticate_scope",
    "begin_for_user",
    "begin_with_password",
    "begin_with_token",
    "check_jwks",
    "claim_grant",
    "close_account",
    "count_if_wrong",
    "create_grant",
    "create_ticket",
    "create_token",
    "delete_admin_history",
    "delete_user",
    "end_session",
    "end_sign_in",
    "ensure_user",
    "fetch_keys_for",
    "find_user",
    "has_staff",
    "has_token",
    "is_signature_valid",
    "is_staff",
    "is_staff_owner",
    "jwks_breaker_names",
    "key_callers",
    "list_tokens",
    "list_users",
    "listen_for_revocations",
    "may_sign_in",
    "name_of_owner",
    "needs_no_database",
    "owner_named",
    "owner_rows",
    "presented_credential",
    "principal_of_user",
    "prune_grants",
    "prune_sign_ins",
    "prune_tickets",
    "readable_by_owner",
    "refresh",
    "release_grant",
    "require_csrf_token",
    "require_may_follow",
    "require_may_try",
    "revoke_token",
    "sessions_of",
    "set_active",
    "sign_in",
    "sign_path",
    "still_authenticates",
    "token_that_needs_keys",
    "upload_of_grant",
    "user_name",
    "user_of",
]
