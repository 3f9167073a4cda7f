"""When a file's record and its bytes are to go, by its profile as it is at that moment: later changes of the profile
do not count."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from windlass.files.models import FileAsset
from windlass.files.profiles import profiles
from windlass.kernel.clock import now


def from_the_beginning(profile: str) -> dict[str, Any]:
    """What the columns of a new record are to be."""
    rules = profiles().get(profile)
    days = {"expires_at": rules.retention_days, "release_at": rules.release_after_days} if rules else {}
    return {name: now() + timedelta(days=count) for name, count in days.items() if count}


def from_the_release(asset: FileAsset) -> dict[str, Any]:
    """What the columns of a record become when its bytes go. Its end comes no later than it would have."""
    rules = profiles().get(asset.profile)
    if rules is None or not rules.delete_released_after_days:
        return {}
    end = now() + timedelta(days=rules.delete_released_after_days)
    return {"expires_at": min(end, asset.expires_at or end)}
