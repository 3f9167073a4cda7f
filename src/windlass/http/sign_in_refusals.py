"""Answer a sign-in on Django's own pages that was refused because of wrong passwords before it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from windlass.kernel.problem_types import RateLimited


class SignInRefusals(MiddlewareMixin):
    """Django middleware: ``accounts.password_backend`` raises RateLimited, and the client gets 429."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, RateLimited):
            return None
        from windlass.http.rest import problems  # imports Ninja, which takes long

        return problems.response(error, request)
