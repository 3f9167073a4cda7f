"""Sign in with a password, refresh and end the sign-in; tickets for live connections."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema
from pydantic import Field, StringConstraints

from windlass.accounts import api as accounts
from windlass.accounts.api import SignInTokens
from windlass.executors import in_database
from windlass.http.callers import OWNER_READS, caller
from windlass.http.json_models import ReplyModel
from windlass.http.rest.call_rates import limited_as
from windlass.resilience.rate_limits.policies import RateClass

router = Router(tags=["Signing in"])

_Name = Annotated[str, StringConstraints(min_length=1, max_length=254)]
#: Django's own forms take no longer password either: hashing it takes time.
_Password = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
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


@router.post(
    "/ticket", auth=OWNER_READS, response={201: TicketOut}, summary="Create a ticket: a URL's credential for one stream"
)
async def create_ticket(request: HttpRequest) -> HttpResponse:
    ticket = await in_database(accounts.create_ticket, caller(request))
    return JsonResponse({"ticket": ticket, "expires_in": accounts.TICKET_SECONDS}, status=201)


def _reply(tokens: SignInTokens) -> HttpResponse:
    return JsonResponse(
        {
            "access": tokens.access,
            "token_type": "bearer",
            "expires_in": tokens.expires_in,
            "refresh": tokens.refresh,
        }
    )
