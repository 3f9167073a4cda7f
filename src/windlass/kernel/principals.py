"""Who is asking. Everything stored has an owner from its first day; a principal is what a credential proves."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GrantedUpload:
    """One upload that somebody was permitted, and its terms. ``upload_id`` once it has begun."""

    id: uuid.UUID
    profile: str
    max_size: int | None = None
    reference: str | None = None
    upload_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller.

    ``owner`` is the stable name under which what they create is stored (``user:7``, ``anonymous``);
    ``user_id`` is the Django user's primary key where there is one. With a ``grant`` the caller holds nothing but the
    permission for one upload, and is told from the owner: what is asked for has been held against it.
    """

    owner: str
    staff: bool = False
    user_id: int | str | None = None
    grant: GrantedUpload | None = None

    def may_see(self, owner: str) -> bool:
        """Owners see their own; staff see all. Another's thing is 404 to everyone else."""
        return self.staff or owner == self.owner


#: The caller without a credential while the server listens on loopback in open mode: the person at this machine.
ANONYMOUS = Principal(owner="anonymous", staff=True)


def owner_of_user(user_id: int | str) -> str:
    return f"user:{user_id}"
