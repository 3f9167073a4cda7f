"""The topics that a caller may follow. What belongs to others is as what does not exist."""

from __future__ import annotations

from windlass.events.api import SYSTEM
from windlass.executors import in_database
from windlass.files.api import get_file, get_upload
from windlass.http.live.topics import Topic
from windlass.kernel.ids import parse_id
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound


def everything_of(principal: Principal) -> Topic:
    """The uploads and files that the caller may read. Staff follow the events of the system as well."""
    return Topic(owners=principal.owners | {SYSTEM} if principal.staff else principal.owners - {SYSTEM})


async def topic_of(kind: str, name: str, principal: Principal) -> Topic:
    """The file or upload (``kind``) whose id is ``name``. Raises NotFound."""
    parsed = parse_id(name)
    if parsed is None:
        raise NotFound(f"There is nothing called {name}.")
    if kind == "file":
        return Topic(file_id=(await in_database(get_file, parsed, principal)).id)
    return Topic(upload_id=(await in_database(get_upload, parsed, principal)).id)
