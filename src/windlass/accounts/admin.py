"""Admin pages of API tokens, sign-ins, tickets and grants."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from windlass.accounts import users
from windlass.accounts.models import ApiToken, Grant, SignIn, Ticket
from windlass.accounts.scopes import parse_scopes, scopes_text
from windlass.accounts.tokens import save_with_new_secret
from windlass.database.read_only_admin import ReadOnly
from windlass.kernel.principals import Scope


class NewTokenForm(forms.ModelForm):  # type: ignore[type-arg]  # takes no parameter at run time
    """``username`` instead of a list of users, which may be long or in another database."""

    username = forms.CharField(max_length=254, label="User", help_text="The name that the user signs in with.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in map(str, Scope)],
        initial=list(map(str, Scope)),
        widget=forms.CheckboxSelectMultiple,
        help_text="read: calls that change nothing; write: the others; admin: the rights of staff.",
    )

    class Meta:
        model = ApiToken
        fields = ("name", "expires_at")

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        user = users.find_user(name)
        if user is None:
            raise forms.ValidationError("There is no user of this name.")
        self.instance.user_id = user.pk
        return name

    def clean_scopes(self) -> str:
        scopes = scopes_text(parse_scopes(self.cleaned_data["scopes"]))
        self.instance.scopes = scopes
        return scopes


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """List, create and revoke tokens. The token is shown once, in the reply to its creation."""

    list_display = ["name", "owner", "scopes", "created_at", "last_used_at", "expires_at"]
    list_filter = ["created_at", "expires_at"]
    search_fields = ["name"]
    fields = ["owner", "name", "scopes", "created_at", "last_used_at", "expires_at"]
    readonly_fields = ["owner", "scopes", "created_at", "last_used_at"]

    @admin.display(description="user")
    def owner(self, token: ApiToken) -> str:
        return _name_of(token.user_id)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.fields if obj else ["username", "name", "scopes", "expires_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.readonly_fields if obj else []

    def get_form(self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if obj else NewTokenForm

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if change:
            obj.save()
        else:
            request.windlass_new_token = save_with_new_secret(obj)  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """Show the token in this reply, which no cache (the admin says no-store) and no session keeps."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Token {obj.name or obj.pk}",
            "token": request.windlass_new_token,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/windlass_accounts/apitoken/created.html", context)


@admin.register(SignIn)
class SignInAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """List the sign-ins; deleting one ends it."""

    list_display = ["id", "owner", "created_at", "refreshed_at", "expires_at"]
    list_filter = ["created_at"]
    fields = ["owner", "created_at", "refreshed_at", "expires_at"]
    readonly_fields = ["owner", "created_at", "refreshed_at", "expires_at"]

    @admin.display(description="user")
    def owner(self, sign_in: SignIn) -> str:
        return _name_of(sign_in.user_id)

    def has_add_permission(self, request: HttpRequest, obj: SignIn | None = None) -> bool:
        return False


@admin.register(Ticket)
class TicketAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """Tickets that have not been used; those that have are deleted."""

    list_display = ["owner", "staff", "expires_at"]
    fields = ["owner", "staff", "expires_at"]


def _name_of(user_id: Any) -> str:
    user = users.get_user(user_id)
    return user.get_username() if user else "deleted"


@admin.register(Grant)
class GrantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """Grants are created by `POST /uploads/grants/`."""

    list_display = ["id", "owner", "profile", "reference", "upload_id", "created_at", "expires_at"]
    list_filter = ["profile", "expires_at"]
    search_fields = ["id", "owner", "reference", "upload_id"]
    fields = ["owner", "profile", "max_size", "reference", "origin", "upload_id", "created_at", "expires_at"]
    readonly_fields = ["owner", "profile", "max_size", "reference", "origin", "upload_id", "created_at", "expires_at"]

    def has_add_permission(self, request: HttpRequest, obj: Grant | None = None) -> bool:
        return False
