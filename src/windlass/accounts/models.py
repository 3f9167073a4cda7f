from __future__ import annotations

from django.conf import settings
from django.db import models

from windlass.kernel.ids import new_id

EVERY_SCOPE = "read write admin"


class ApiToken(models.Model):
    """A credential of one user. Only its SHA-256 is stored; the token itself is shown once."""

    # Users may be in another database (DATABASE_ROUTERS), so no constraint: tokens.delete_tokens_of_user deletes them.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, related_name="windlass_tokens"
    )
    name = models.CharField(max_length=100, default="", blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    # Separated by spaces. Tokens that an older version makes may do everything.
    scopes = models.CharField(max_length=100, default=EVERY_SCOPE, db_default=EVERY_SCOPE)

    def __str__(self) -> str:
        return self.name or f"token {self.pk}"


class SignIn(models.Model):
    """A user who signed in with a password. It lasts until it expires, is revoked, or the password changes.

    ``handle`` is the part of its refresh token that finds it, ``digest`` the SHA-256 of the part that changes with each
    refresh. ``password_mark`` is a signature of the user's password hash.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, related_name="windlass_sign_ins"
    )
    handle = models.CharField(max_length=32, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    password_mark = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    refreshed_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="sign_in_by_expiry")]

    def __str__(self) -> str:
        return f"sign-in {self.id}"


class Ticket(models.Model):
    """A credential in a URL for one live connection. Only its SHA-256 is stored.

    ``proof`` names the credential that it was made with, as in ``Principal``.
    """

    digest = models.CharField(max_length=64, primary_key=True, editable=False)
    owner = models.CharField(max_length=200)
    staff = models.BooleanField()
    proof = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="ticket_by_expiry")]

    def __str__(self) -> str:
        return f"ticket of {self.owner}"


class Grant(models.Model):
    """Permission for one upload, without any other credential. Only the SHA-256 of its token is stored.

    ``upload_id`` is the upload that was created with it; from then on the token is valid for that upload only.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    owner = models.CharField(max_length=200)
    profile = models.CharField(max_length=64)
    max_size = models.BigIntegerField(null=True, blank=True)
    reference = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  null: the client may name one
    origin = models.CharField(max_length=255, default="", blank=True)
    upload_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="grant_by_expiry")]

    def __str__(self) -> str:
        return f"grant {self.id}"
