"""Admin pages of API tokens, sign-ins, tickets and grants."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from windlass.accounts import users
from windlass.accounts.models import ApiToken, Grant, SignIn, Ticket
from windlass.accounts.scopes import parse_scopes, scopes_text
from windlass.accounts.tokens import revoke_token, save_with_new_secret
from windlass.database.read_only_admin import ReadOnly
from windlass.database.record_admin import RecordAdmin, user_names
from windlass.kernel.clock import now
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


class _OfUsers(RecordAdmin):
    """A list whose rows belong to users, whose names one query reads."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        names = user_names({row.user_id for row in changelist.result_list})
        for row in changelist.result_list:
            row.user_name = names.get(row.user_id, "deleted")
        return changelist

    @admin.display(description="user")
    def user_name(self, row: Any) -> str:
        known = getattr(row, "user_name", None)
        return known if known is not None else user_names([row.user_id]).get(row.user_id, "deleted")


@admin.register(ApiToken)
class ApiTokenAdmin(_OfUsers):
    """List, create and revoke tokens. The token is shown once, in the reply to its creation."""

    list_display = ["__str__", "user_name", "scopes", "created_at", "last_used_at", "expires_at", "state"]
    list_filter = ["created_at", "expires_at"]
    search_fields = ["name"]
    id_fields = ()
    actions = ["revoke_selected"]
    fields = ["user_name", "name", "scopes", "created_at", "last_used_at", "expires_at"]
    readonly_fields = ["user_name", "scopes", "created_at", "last_used_at"]

    @admin.display(description="state")
    def state(self, token: ApiToken) -> str:
        return "expired" if token.expires_at is not None and token.expires_at <= now() else "valid"

    @admin.action(description="Revoke selected tokens: they are invalid at once", permissions=["delete"])
    def revoke_selected(self, request: HttpRequest, selected: QuerySet[ApiToken]) -> None:
        revoked = sum(revoke_token(number) for number in selected.values_list("pk", flat=True))
        self.message_user(request, f"{revoked} {'token is' if revoked == 1 else 'tokens are'} revoked.")

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's action, which would delete tokens without an entry in the audit log."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        revoke_token(obj.pk)

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
class SignInAdmin(_OfUsers):
    """List the sign-ins; deleting one ends it."""

    list_display = ["id", "user_name", "created_at", "refreshed_at", "expires_at"]
    list_filter = ["created_at"]
    fields = ["user_name", "created_at", "refreshed_at", "expires_at"]
    readonly_fields = ["user_name", "created_at", "refreshed_at", "expires_at"]

    def has_add_permission(self, request: HttpRequest, obj: SignIn | None = None) -> bool:
        return False


@admin.register(Ticket)
class TicketAdmin(ReadOnly, RecordAdmin):
    """Tickets that have not been used; those that have are deleted."""

    list_display = ["owner_link", "staff", "expires_at"]
    id_fields = ()
    fields = ["owner", "staff", "expires_at"]


@admin.register(Grant)
class GrantAdmin(RecordAdmin):
    """Grants are created by `POST /uploads/grants/`; deleting one revokes it."""

    list_display = ["id", "owner_link", "profile", "reference", "upload_id", "created_at", "expires_at"]
    list_filter = [("upload_id", admin.EmptyFieldListFilter), "expires_at"]
    id_fields = ("id", "upload_id")
    search_fields = ["owner", "reference", "profile"]
    fields = ["owner", "profile", "max_size", "reference", "origin", "upload_id", "created_at", "expires_at"]
    readonly_fields = ["owner", "profile", "max_size", "reference", "origin", "upload_id", "created_at", "expires_at"]

    def has_add_permission(self, request: HttpRequest, obj: Grant | None = None) -> bool:
        return False
