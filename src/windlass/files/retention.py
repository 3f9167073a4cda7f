"""How long a file's record, its bytes and its trash are kept, by its profile at that moment.

Later changes of the profile do not apply to the file.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from windlass import conf
from windlass.files.models import FileAsset
from windlass.files.profiles import profiles
from windlass.kernel.clock import now


def columns_of_new_file(profile: str) -> dict[str, Any]:
    rules = profiles().get(profile)
    days = {"expires_at": rules.retention_days, "release_at": rules.release_after_days} if rules else {}
    return {name: now() + timedelta(days=count) for name, count in days.items() if count}


def columns_of_released_file(asset: FileAsset) -> dict[str, Any]:
    """Retention columns of a record whose bytes are released. Its end does not move later.

    It has no ``release_at`` any more, so that the sweep does not come across it again.
    """
    rules = profiles().get(asset.profile)
    if rules is None or not rules.delete_released_after_days:
        return {"release_at": None}
    end = now() + timedelta(days=rules.delete_released_after_days)
    return {"release_at": None, "expires_at": min(end, asset.expires_at or end)}


def restorable_until(asset: FileAsset) -> datetime | None:
    """Until when the file could be restored if it were deleted now; None if it would be deleted for good.

    The trash keeps no file longer than its retention.
    """
    rules = profiles().get(asset.profile)
    hours = conf.get().trash_hours if rules is None else rules.trash_hours
    if not hours:
        return None
    end = now() + timedelta(hours=hours)
    return end if asset.expires_at is None else min(end, asset.expires_at)
