"""Which files a field accepts. Imported with the models of a project, so it needs nothing that needs the user model."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import ValidationError

from windlass.files.api import FileAsset, FileStatus

_IN_PROCESS = (FileStatus.PENDING, FileStatus.PROCESSING)


@dataclass(frozen=True, slots=True)
class AttachmentRules:
    """Which files a field accepts: those of one profile, and only READY ones unless ``must_be_ready`` is false.

    Without it, files that are still being processed are accepted as well; those that were refused never are.
    """

    profile: str = "default"
    must_be_ready: bool = True

    def check(self, file: FileAsset) -> None:
        """Raises ValidationError with what is wrong and what can be done."""
        if file.profile != self.profile:
            raise ValidationError(
                f"“{file}” was uploaded for the profile {file.profile!r}; this field takes files of {self.profile!r}.",
                code="wrong_profile",
            )
        if file.trashed_at is not None:
            raise ValidationError(f"“{file}” is in the trash. Restore it, or choose another file.", code="trashed")
        if file.status == FileStatus.READY or (file.status in _IN_PROCESS and not self.must_be_ready):
            return
        raise ValidationError(_why_not_ready(file), code=file.status.lower())


def _why_not_ready(file: FileAsset) -> str:
    match file.status:
        case FileStatus.PENDING | FileStatus.PROCESSING:
            return f"“{file}” is stored and still being checked. Send the form again in a few seconds."
        case FileStatus.REJECTED:
            return f"“{file}” was refused: {(file.rejection or {}).get('detail') or file.message}"
        case FileStatus.QUARANTINED:
            return f"“{file}” was refused because it contains malware."
        case FileStatus.RELEASED:
            return f"The bytes of “{file}” were deleted. Choose another file."
    return f"“{file}” could not be processed: {file.message} Choose another file, or try again later."
