"""Facts of an archive. Nothing is written anywhere."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Any

from windlass.kernel.media_type_tables import ARCHIVES
from windlass.kernel.media_types import matches
from windlass.processing.contract import About, StepContext, StepResult, Unreadable
from windlass.processing.formats.archives import archive_types, decompressors
from windlass.processing.formats.archives.contents import MAKES, write_contents
from windlass.processing.formats.archives.inspect_archive import inspect_archive
from windlass.processing.formats.archives.inspection import RATIO_CHECKED_FROM, Inspection
from windlass.processing.formats.archives.unpacking import UnpackMeter
from windlass.processing.formats.read_limits import MB, Deadline

#: Bytes after which unpacking ends where the profile sets no limit and the format declares no size.
CEILING = 4096 * MB
#: Documents that are archives by their structure: what is in them is nothing that their readers ask for.
_DOCUMENTS = (
    "application/epub+zip",
    "application/vnd.ms-*.macroenabled.12",
    "application/vnd.oasis.opendocument.*",
    "application/vnd.openxmlformats-officedocument.*",
)
#: Share of the step's CPU time for unpacking, and seconds where the step has no limit.
_SHARE, _SECONDS = 0.8, 100.0


class ArchiveFacts:
    """Inspects a file as each archive format that its structure matches, whatever its type is. If the profile limits
    unpacked sizes, every entry is unpacked and counted, nested archives too, until the limit is exceeded. Lists the
    first 1,000 entries, unless the file is a document."""

    about = About(
        name="archive_facts",
        stage="describe",
        title="Looking through the archive",
        order=10,
        isolated=True,
        weight=2,
        mime_types=ARCHIVES,
        also=True,
        gives={
            "entries": "files, directories and links in it; at most 100,001 are counted",
            "unpacked_size": "bytes unpacked",
            "unpacked_size_is": "`declared` by the archive, `counted` by unpacking, or `at least` if counting stopped",
            "archive_ratio": "unpacked bytes per byte of the file, with nested archives unpacked too",
            "inner_entries": "entries of nested archives, at every depth",
            "inner_unpacked_size": "unpacked bytes of nested archives, at every depth",
            "encrypted": "whether any entry needs a password",
            "unsafe_names": "entries that could be unpacked outside their directory: absolute paths, `..`, "
            "links that lead out of it or to an unknown target, devices",
            "nested_archives": "entries whose names are those of archives",
            "overlapping_entries": "entries that share bytes with others, as zip bombs do",
            "largest_entry": "unpacked bytes of the largest entry, including those of nested archives",
            "duplicate_names": "entries with the name of another entry",
            "trailing_data": "whether bytes follow the end of the packed data; they are ignored",
            "archive_damaged": "what is damaged, if the archive could not be read completely",
            "archive_contradiction": "how parts of the archive contradict each other, so that readers differ",
            "archive_not_measured": "reason, if the unpacked size could not be measured",
        },
        makes=(MAKES,),
        libraries=("bz2", "lzma", "zlib", "zlib_ng", "lz4.frame", "inflate64"),
    )

    def prepare(self) -> None:
        decompressors.prepare()

    def run(self, context: StepContext) -> StepResult:
        kinds = archive_types.types_by_structure(context.file)
        if not kinds:
            size: int = context.facts["size"]
            facts = {"unpacked_size": size, "unpacked_size_is": "counted", "archive_ratio": 1.0}
            return StepResult(facts, detail="Nothing is packed in it")
        inspections = [inspect_archive(context.file, kind, _meter(context)) for kind in kinds]
        contents = write_contents(context, inspections) if _is_listed(context.facts["mime_type"]) else ()
        inspection, *others = inspections
        for other in others:
            inspection.merge(other)
        if inspection.damaged and not context.profile.get("archive_rules"):
            raise Unreadable(inspection.damaged)  # without the rule that would report it
        return StepResult(inspection.facts(), contents, detail=_detail(inspection))


def _is_listed(mime_type: str) -> bool:
    """Whether the file is an archive for people, rather than a document, or a picture that is an archive too."""
    return matches(mime_type, ARCHIVES) and not matches(mime_type, _DOCUMENTS)


def _meter(context: StepContext) -> UnpackMeter:
    size = context.facts["size"]
    most = _most_unpacked(context.profile, size)
    meter = UnpackMeter(most or CEILING, most is not None, Deadline(_seconds()))
    meter.report = lambda: context.report(100 * min(context.file.tell(), size) // max(size, 1))
    return meter


def _most_unpacked(profile: Mapping[str, Any], size: int) -> int | None:
    """Return the bytes after which a limit of the profile is broken; None without a limit."""
    limits = [profile.get("max_unpacked_size") or 0]
    if ratio := profile.get("max_archive_ratio"):
        limits.append(max(int(ratio * size), RATIO_CHECKED_FROM))
    return min((limit for limit in limits if limit), default=None)


def _seconds() -> float:
    """Return less than the step's time, of which CPU time may be twice as much in all of its threads."""
    limit, _ = resource.getrlimit(resource.RLIMIT_CPU)
    return _SECONDS if limit == resource.RLIM_INFINITY else max(1.0, _SHARE * (limit - 2) / 2)


def _detail(inspection: Inspection) -> str:
    size = f"{'at least ' if inspection.sizes == 'at least' else ''}{inspection.all_unpacked:,} bytes unpacked"
    prefix = "more than " if inspection.cut else ""
    trailing = "; the bytes behind its end are passed over" * inspection.has_trailing
    remarks = trailing + "".join(
        f"; {remark}" for remark in (inspection.damaged, inspection.contradiction, inspection.unmeasured) if remark
    )
    return f"{prefix}{inspection.entries:,} entries, {size}{remarks}" if inspection.listed else f"{size}{remarks}"
