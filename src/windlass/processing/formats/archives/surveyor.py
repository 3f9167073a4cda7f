"""Surveys an archive of any format, and the archives in it. Nothing is written anywhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import (
    archive_types,
    cab_survey,
    compressed_survey,
    cpio_ar_rpm_survey,
    iso_survey,
    rar_survey,
    sevenzip_survey,
    tar_survey,
    zip_survey,
)
from windlass.processing.formats.archives.decompressors import COMPRESSIONS, NotMeasured, WindowTooLarge
from windlass.processing.formats.archives.survey import LARGEST_INTEGER, Survey
from windlass.processing.formats.archives.unpacking import LimitPassed, UnpackMeter
from windlass.processing.formats.archives.zip_directory import BadZip

#: Depth to which nested archives are read. Software packed with all its dependencies is four or five deep.
MOST_DEPTH = 12
#: Entries of the archives in an archive, in all.
MOST_INNER_ENTRIES = 1_000_000

FormatSurvey = Callable[[BinaryIO, Survey, "Surveyor"], None]

_SURVEYS: Mapping[str, FormatSurvey] = {
    archive_types.ZIP: zip_survey.survey,
    archive_types.SEVEN_ZIP: sevenzip_survey.survey,
    archive_types.RAR: rar_survey.survey,
    archive_types.TAR: tar_survey.survey,
    archive_types.CPIO: cpio_ar_rpm_survey.survey_cpio,
    archive_types.AR: cpio_ar_rpm_survey.survey_ar,
    archive_types.RPM: cpio_ar_rpm_survey.survey_rpm,
    archive_types.CAB: cab_survey.survey,
    archive_types.ISO: iso_survey.survey,
}
_RANDOM_ACCESS = (
    archive_types.ZIP,
    archive_types.SEVEN_ZIP,
    archive_types.RAR,
    archive_types.CAB,
    archive_types.ISO,
)


def survey_archive(file: BinaryIO, kind: str, meter: UnpackMeter) -> Survey:
    """Survey a file as an archive of type ``kind``. Faults of the file are recorded in the survey."""
    found = Survey(packed=file.seek(0, 2))
    file.seek(0)
    try:
        Surveyor(meter, found).survey(file, kind, found)
    except LimitPassed:
        found.sizes = "at least"
        found.unpacked = max(found.unpacked, meter.counted - found.inner_unpacked)
    except (NotMeasured, WindowTooLarge) as error:
        found.unmeasured = str(error)
    except Unreadable as error:
        found.damaged = found.damaged or str(error)
    return found


@dataclass(slots=True)
class Surveyor:
    """Surveys one file. ``meter`` counts over every depth; what nested archives hold is added to ``outer``."""

    meter: UnpackMeter
    outer: Survey
    depth: int = 0

    @property
    def measures(self) -> bool:
        """Whether sizes are counted by unpacking, which only the profile's limits need."""
        return self.meter.measures

    def survey(self, file: BinaryIO, kind: str, survey: Survey) -> None:
        """Fill in the survey of a file of this type. Raises Unreadable, LimitPassed, NotMeasured."""
        try:
            if kind in COMPRESSIONS:
                compressed_survey.survey(file, kind, survey, self)
            else:
                _SURVEYS[kind](file, survey, self)
        except BadZip as error:
            raise Unreadable(str(error)) from error

    def survey_nested(self, content: BinaryIO) -> None:
        """Survey an entry's content if it is an archive by its structure; a compressed one is read whole.

        A damaged one counts as far as it can be read. Raises LimitPassed, NotMeasured.
        """
        if not self.measures:
            return
        kinds = archive_types.types_by_head(content)
        for kind in kinds:
            if kind != archive_types.ZIP:
                self._survey_inner(content, kind)
        if archive_types.ZIP in kinds or archive_types.has_zip_entries(content):
            self._survey_inner(content, archive_types.ZIP)

    def _survey_inner(self, content: BinaryIO, kind: str) -> None:
        if self.depth >= MOST_DEPTH:
            raise NotMeasured(f"archives in it are more than {MOST_DEPTH} deep")
        inner, held = Survey(packed=0), 0
        if kind in _RANDOM_ACCESS and getattr(content, "seeks_back_slowly", False):
            content, held = self._in_memory(content)
        try:
            Surveyor(self.meter, self.outer, self.depth + 1).survey(content, kind, inner)
        except Unreadable:
            pass
        finally:
            self.meter.memory += held
            self.outer.inner_entries += inner.entries
            self.outer.largest = max(self.outer.largest, inner.largest)
            self.outer.inner_unpacked = min(self.outer.inner_unpacked + inner.unpacked, LARGEST_INTEGER)
        if self.outer.inner_entries > MOST_INNER_ENTRIES:
            raise NotMeasured(f"the archives in it have more than {MOST_INNER_ENTRIES:,} entries")

    def _in_memory(self, content: BinaryIO) -> tuple[BinaryIO, int]:
        """The content in memory and its size; unchanged, and 0, where the memory left is too small."""
        size = content.seek(0, 2)
        if size > self.meter.memory:
            return content, 0
        self.meter.memory -= size
        content.seek(0)
        return io.BytesIO(content.read(size)), size
