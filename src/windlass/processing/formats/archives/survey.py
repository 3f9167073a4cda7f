"""What is in an archive of any format, and in the archives in it. Nothing is unpacked to anywhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import (
    archive_types,
    cab_survey,
    cpio_ar_rpm_survey,
    iso_survey,
    rar_survey,
    sevenzip_survey,
    tar_survey,
    xz_index,
    zip_survey,
)
from windlass.processing.formats.archives.entries import MOST_SAID, Survey
from windlass.processing.formats.archives.unpacking import (
    PACKINGS,
    CountingEnds,
    Meter,
    NotMeasured,
    WindowTooLarge,
    unpacked,
)
from windlass.processing.formats.archives.zip_directory import BadZip

#: Archives in archives are looked into so deep. Software packed with all that it needs is four or five deep.
DEEPEST = 12
#: Entries of archives in an archive, in all.
MOST_INNER_ENTRIES = 1_000_000


@dataclass(slots=True)
class Surveyor:
    """Looks through one file. ``meter`` counts over every depth; what is found in inner archives is added to
    ``outer``."""

    meter: Meter
    outer: Survey
    depth: int = 0

    @property
    def counts(self) -> bool:
        """Whether sizes are counted by unpacking: only where a rule needs them."""
        return self.meter.is_asked

    def survey(self, file: BinaryIO, kind: str, survey: Survey) -> None:
        """Fill in what there is to say of a file of this kind. Raises Unreadable, CountingEnds, NotMeasured."""
        try:
            if kind in PACKINGS:
                self._survey_packed(file, kind, survey)
            else:
                _SURVEYS[kind](file, survey, self)
        except BadZip as error:
            raise Unreadable(str(error)) from error

    def look_inside(self, content: BinaryIO) -> None:
        """Look into an entry's content, if it is an archive by its structure; the whole of it is read where it is
        packed. A damaged one counts as far as it can be read. Raises CountingEnds, NotMeasured."""
        if not self.counts:
            return
        kinds = archive_types.by_head(content)
        for kind in kinds:
            if kind != archive_types.ZIP:
                self._look_into(content, kind)
        if archive_types.ZIP in kinds or archive_types.has_zip_entries(content):
            self._look_into(content, archive_types.ZIP)

    def _look_into(self, content: BinaryIO, kind: str) -> None:
        if self.depth >= DEEPEST:
            raise NotMeasured(f"archives in it are more than {DEEPEST} deep")
        inner = Survey(packed=0)
        held = 0
        if kind in _READ_IN_ANY_ORDER and getattr(content, "goes_back_slowly", False):
            content, held = self._held(content)
        try:
            Surveyor(self.meter, self.outer, self.depth + 1).survey(content, kind, inner)
        except Unreadable:
            pass
        finally:
            self.meter.memory += held
            self.outer.inner_entries += inner.entries
            self.outer.largest = max(self.outer.largest, inner.largest)
            self.outer.inner_unpacked = min(self.outer.inner_unpacked + inner.unpacked, MOST_SAID)
        if self.outer.inner_entries > MOST_INNER_ENTRIES:
            raise NotMeasured(f"the archives in it have more than {MOST_INNER_ENTRIES:,} entries")

    def _held(self, content: BinaryIO) -> tuple[BinaryIO, int]:
        """The content in memory, and how much that takes, if there is so much left."""
        size = content.seek(0, 2)
        if size > self.meter.memory:
            return content, 0
        self.meter.memory -= size
        content.seek(0)
        return io.BytesIO(content.read(size)), size

    def _survey_packed(self, file: BinaryIO, kind: str, survey: Survey) -> None:
        """What is packed as a whole; a tar in it is listed as if it were not."""
        survey.listed = False
        if kind == archive_types.XZ and not self.depth:
            survey.unpacked = xz_index.declared_size(file, self.meter.most)
            if survey.unpacked > self.meter.most:
                return
        content, made = unpacked(file, PACKINGS[kind], self.meter)
        survey.sizes, survey.unpacked = "counted", 0
        try:
            if archive_types.is_tar(content.read(512)):
                content.seek(0)
                survey.listed = True
                tar_survey.survey(content, survey, self)
            elif self.counts:
                self.look_inside(content)
            content.seek(0, 2)
        finally:
            survey.unpacked = max(survey.unpacked, made.counted)
            survey.has_trailing = made.has_trailing
            survey.largest = max(survey.largest, 0 if survey.listed else made.counted)


Filler = Callable[[BinaryIO, Survey, Surveyor], None]

_SURVEYS: Mapping[str, Filler] = {
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
_READ_IN_ANY_ORDER = (
    archive_types.ZIP,
    archive_types.SEVEN_ZIP,
    archive_types.RAR,
    archive_types.CAB,
    archive_types.ISO,
)


def survey(file: BinaryIO, kind: str, meter: Meter) -> Survey:
    """What there is to say of a file as one of this kind. Whatever is wrong with it stands in the survey."""
    size = file.seek(0, 2)
    found = Survey(packed=size)
    file.seek(0)
    try:
        Surveyor(meter, found).survey(file, kind, found)
    except CountingEnds:
        found.sizes = "at least"
        found.unpacked = max(found.unpacked, meter.counted - found.inner_unpacked)
    except (NotMeasured, WindowTooLarge) as error:
        found.unmeasured = str(error)
    except Unreadable as error:
        found.damaged = found.damaged or str(error)
    return found
