"""Links to a file, for templates, widgets and serializers."""

from __future__ import annotations

from windlass import conf
from windlass.accounts.api import sign_path
from windlass.files.api import FileAsset, FileStatus
from windlass.http.file_records import media_link
from windlass.kernel import urls


def download_url(file: FileAsset, *, expires_in: int | None = None) -> str:
    """The address of the file's bytes, for whoever may read the file.

    With ``expires_in`` (seconds) it carries a signature and is valid for anybody until then.
    """
    if expires_in is None:
        return media_link(file.id, "download/")
    signed, _ = sign_path(f"/files/{file.id}/download/", expires_in)
    return urls.media_url(conf.get().media_url, signed)


def thumbnail_url(file: FileAsset) -> str | None:
    """The address of the file's thumbnail; None if there is none.

    Reads the renditions: ``prefetch_related("photo__renditions")`` spares a query for each file of a list.
    """
    if file.status == FileStatus.RELEASED:
        return None
    has_thumbnail = any(rendition.name == "thumbnail" for rendition in file.renditions.all())
    return media_link(file.id, "thumbnail/") if has_thumbnail else None
