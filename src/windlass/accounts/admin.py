"""Admin pages of API tokens and grants: list and revoke them."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from windlass.accounts import users
from windlass.accounts.models import ApiToken, Grant


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # takes no parameter at run time
    """Tokens are created by `windlass token create`, which shows the secret once."""

    list_display = ["name", "owner", "created_at", "last_used_at", "expires_at"]
    list_filter = ["created_at", "expires_at"]
    search_fields = ["name"]
    fields = ["owner", "name", "created_at", "last_used_at", "expires_at"]
    readonly_fields = ["owner", "created_at", "last_used_at"]

    @admin.display(description="user")
    def owner(self, token: ApiToken) -> str:
        user = users.get_user(token.user_id)
        return user.get_username() if user else "deleted"

    def has_add_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False


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
