"""Sign in with a password, refresh and end the sign-in; sessions of browsers; tickets for live connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import Field, StringConstraints

from windlass.accounts import api as accounts
from windlass.accounts.api import SignInTokens
from windlass.executors import in_database
from windlass.http.callers import caller
from windlass.http.json_models import ReplyModel
from windlass.http.rest.call_rates import limited_as
from windlass.http.rest.credentials import OWNER, OWNER_READS
from windlass.kernel.principals import CredentialKind, Principal, Scope
from windlass.kernel.problem_types import InvalidField
from windlass.resilience.rate_limits.policies import RateClass

router = Router(tags=["Signing in"])

SessionMethod = Literal["password", "token", "jwt", "open"]

_Name = Annotated[str, StringConstraints(min_length=1, max_length=254)]
#: Django's own forms take no longer password either: hashing it takes time.
_Password = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
_ApiToken = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
_RefreshToken = Annotated[str, StringConstraints(max_length=200)]


class PasswordIn(Schema):
    username: _Name
    password: _Password


class RefreshIn(Schema):
    refresh: _RefreshToken = Field(description="The refresh token of the last reply.")


class TokensOut(ReplyModel):
    access: str = Field(description="A JWT, for `Authorization: Bearer`.")
    token_type: str = Field(description="`bearer`.")
    expires_in: int = Field(description="Seconds that `access` is valid.")
    refresh: str = Field(description="Is exchanged for new tokens, once.")


class SessionIn(Schema):
    """Either ``username`` and ``password``, or ``token``."""

    username: _Name | None = None
    password: _Password | None = None
    token: _ApiToken | None = Field(None, description="An API token: the session has its scopes and ends with it.")


class SessionOut(ReplyModel):
    owner: str = Field(description="The owner of the caller's records.")
    name: str | None = Field(description="The user's name; null for a caller who is no user.")
    staff: bool
    method: SessionMethod = Field(
        description="`password`: a session of Django; `token`: an API token, or a session that one began; `jwt`; "
        "`open`: no credential is needed."
    )
    scopes: list[Scope] = Field(description="What the credential may be used for.")


class TicketOut(ReplyModel):
    ticket: str = Field(description="For `?ticket=` of one live connection.")
    expires_in: int = Field(description="Seconds within which it must be used.")


@router.post("/token", auth=None, response=TokensOut, summary="Sign in with a password")
@limited_as(RateClass.SIGN_IN)
async def sign_in(request: HttpRequest, given: PasswordIn) -> HttpResponse:
    return _reply(await in_database(partial(accounts.sign_in, request, given.username, given.password)))


@router.post("/refresh", auth=None, response=TokensOut, summary="Exchange a refresh token for new tokens")
@limited_as(RateClass.SIGN_IN)
async def refresh(request: HttpRequest, given: RefreshIn) -> HttpResponse:
    return _reply(await in_database(accounts.refresh, given.refresh))


@router.post("/revoke", auth=None, response={204: None}, summary="End the sign-in of a refresh token")
@limited_as(RateClass.SIGN_IN)
async def revoke(request: HttpRequest, given: RefreshIn) -> HttpResponse:
    await in_database(accounts.end_sign_in, given.refresh)
    return HttpResponse(status=204)


@router.post("/session", auth=None, response=SessionOut, summary="Begin a session: sign a browser in")
@limited_as(RateClass.SIGN_IN)
async def begin_session(request: HttpRequest, given: SessionIn) -> HttpResponse:
    token, username, password = given.token, given.username, given.password
    if token is not None and username is None and password is None:
        return await _begun(request, lambda: accounts.begin_with_token(request, token))
    if token is None and username is not None and password is not None:
        return await _begun(request, lambda: accounts.begin_with_password(request, username, password))
    raise InvalidField('Give either "username" and "password", or "token".')


@router.get("/session", auth=OWNER, response=SessionOut, summary="Who the caller is, and what the credential is for")
async def read_session(request: HttpRequest) -> HttpResponse:
    return JsonResponse(await in_database(_session, request, caller(request)))


# A token that may only read can end its session, too.
@router.delete("/session", auth=OWNER_READS, response={204: None}, summary="End the session: sign the browser out")
async def end_session(request: HttpRequest) -> HttpResponse:
    await in_database(accounts.end_session, request)
    return HttpResponse(status=204)


@router.post(
    "/ticket", auth=OWNER_READS, response={201: TicketOut}, summary="Create a ticket: a URL's credential for one stream"
)
async def create_ticket(request: HttpRequest) -> HttpResponse:
    ticket = await in_database(accounts.create_ticket, caller(request))
    return JsonResponse({"ticket": ticket, "expires_in": accounts.TICKET_SECONDS}, status=201)


async def _begun(request: HttpRequest, begin: Callable[[], Principal]) -> HttpResponse:
    """Without the CSRF token, the page of another site could sign its visitor in as somebody else."""

    def begin_proved() -> dict[str, Any]:
        accounts.require_csrf_token(request)
        return _session(request, begin())

    return JsonResponse(await in_database(begin_proved))


def _session(request: HttpRequest, principal: Principal) -> dict[str, Any]:
    kind = principal.credential.value
    if principal.credential is CredentialKind.SESSION:
        kind = "token" if accounts.has_token(request) else "password"
    scopes = [scope.value for scope in Scope if scope in principal.scopes]
    return {
        "owner": principal.owner,
        "name": accounts.user_name(principal.user_id),
        "staff": principal.staff,
        "method": kind,
        "scopes": scopes,
    }


def _reply(tokens: SignInTokens) -> HttpResponse:
    return JsonResponse(
        {
            "access": tokens.access,
            "token_type": "bearer",
            "expires_in": tokens.expires_in,
            "refresh": tokens.refresh,
        }
    )
