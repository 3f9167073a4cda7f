"""Inspects an archive of any format, and the archives in it. Nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import BinaryIO

from windlass.processing.contract import Unreadable
from windlass.processing.formats.archives import (
    archive_types,
    cab_inspection,
    compressed_inspection,
    cpio_ar_rpm_inspection,
    iso_inspection,
    rar_inspection,
    sevenzip_inspection,
    tar_inspection,
    zip_inspection,
)
from windlass.processing.formats.archives.decompressors import COMPRESSIONS, NotMeasured, WindowTooLarge
from windlass.processing.formats.archives.inspection import FormatReader, Inspection, Inspector
from windlass.processing.formats.archives.unpacking import LimitPassed, UnpackMeter

_READERS: Mapping[str, FormatReader] = {
    archive_types.ZIP: zip_inspection.inspect,
    archive_types.SEVEN_ZIP: sevenzip_inspection.inspect,
    archive_types.RAR: rar_inspection.inspect,
    archive_types.TAR: tar_inspection.inspect,
    archive_types.CPIO: cpio_ar_rpm_inspection.inspect_cpio,
    archive_types.AR: cpio_ar_rpm_inspection.inspect_ar,
    archive_types.RPM: cpio_ar_rpm_inspection.inspect_rpm,
    archive_types.CAB: cab_inspection.inspect,
    archive_types.ISO: iso_inspection.inspect,
    **{kind: partial(compressed_inspection.inspect, kind) for kind in COMPRESSIONS},
}


def inspect_archive(file: BinaryIO, kind: str, meter: UnpackMeter) -> Inspection:
    """Inspect a file as an archive of type ``kind``. Faults of the file are recorded in the inspection."""
    inspection = Inspection(packed=file.seek(0, 2))
    file.seek(0)
    try:
        _READERS[kind](file, inspection, Inspector(_READERS, meter, inspection))
    except LimitPassed:
        inspection.sizes = "at least"
        inspection.unpacked = max(inspection.unpacked, meter.counted - inspection.inner_unpacked)
    except (NotMeasured, WindowTooLarge) as error:
        inspection.unmeasured = str(error)
    except Unreadable as error:
        inspection.damaged = inspection.damaged or str(error)
    return inspection
