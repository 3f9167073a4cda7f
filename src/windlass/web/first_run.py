"""The page behind the one-time link of ``windlass serve``: it makes the first account, which is of staff.

For the standalone server only: another project has its own users.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from windlass import conf
from windlass.accounts import api as accounts
from windlass.conf import first_run_key
from windlass.web.views import render_page


class FirstAccountForm(UserCreationForm):  # type: ignore[type-arg]  # takes no parameter at run time
    """Django's form for a new user, with the rules of its password validators."""

    def save(self, commit: bool = True) -> User:
        self.instance.is_staff = self.instance.is_superuser = True
        user: User = super().save(commit)
        return user


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
def first_run(request: HttpRequest) -> HttpResponse:
    home = conf.get().windlass_home
    key = str(request.POST.get("key") or request.GET.get("key") or "")
    if accounts.has_staff() or not first_run_key.is_valid(home, key):
        return _page(request, {"form": None, "has_staff": accounts.has_staff()}, status=404)
    form = FirstAccountForm(request.POST or None)
    # Of two requests with the same key, the one that withdraws it makes the account.
    if not form.is_valid() or not first_run_key.withdraw(home):
        return _page(request, {"form": form, "key": key}, status=422 if form.errors else 200)
    accounts.begin_for_user(request, form.save(), "django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect(reverse("windlass-page"))


def _page(request: HttpRequest, context: dict[str, Any], *, status: int) -> HttpResponse:
    response = render_page(request, "windlass/first_run.html", "first-run", context)
    response.status_code = status
    return response
