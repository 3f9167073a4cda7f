"""What is in an archive, by its headers. Nothing is unpacked to anywhere."""

from __future__ import annotations

from windlass.processing.contract import About, StepContext, StepResult
from windlass.processing.formats import rars, sevenzips, tars, unpacking, zips
from windlass.processing.formats.bounds import MB, Clock
from windlass.processing.formats.entries import Survey

#: Bytes that are unpacked to be counted where the profile does not limit them.
CEILING = 4096 * MB
_RAR = ("application/vnd.rar", "application/x-rar")
_TAR = ("application/x-tar", "application/x-gtar", "application/x-ustar")


class ArchiveFacts:
    """Of a zip, 7z or rar file and of a plain tar the sizes are what it claims. What is compressed as a whole is
    unpacked to nowhere and counted, up to the profile's `max_unpacked_size` or for half a minute."""

    about = About(
        name="archive_facts",
        stage="describe",
        title="Looking through the archive",
        order=10,
        isolated=True,
        weight=2,
        mime_types=(
            "application/java-archive",
            "application/vnd.android.package-archive",
            "application/x-7z-compressed",
            "application/zip",
            *sorted(unpacking.KINDS),
            *_RAR,
            *_TAR,
        ),
        gives={
            "entries": "files, directories and links in it; no more than 100,001 are looked at",
            "unpacked_size": "bytes unpacked",
            "unpacked_size_is": "`declared` by the archive, `counted` by unpacking, or `at least` where that was ended",
            "archive_ratio": "unpacked bytes for each byte of the file",
            "encrypted": "whether a password is needed for any of it",
            "unsafe_names": "entries that would leave the directory they are unpacked into: absolute, upwards, links "
            "that lead out or nobody knows where, devices",
            "nested_archives": "entries that are archives by their names",
            "overlapping_entries": "entries that share bytes with others, as bombs do",
            "duplicate_names": "entries whose name another has, too",
        },
        libraries=("bz2", "lzma", "zlib"),
    )

    def prepare(self) -> None:
        unpacking.prepare()

    def run(self, context: StepContext) -> StepResult:
        kind = context.facts["mime_type"]
        if kind in unpacking.KINDS:
            survey = _compressed(context, kind)
        elif kind in _TAR:
            survey = _tar(context)
        else:
            look = rars.survey if kind in _RAR else sevenzips.survey if "7z" in kind else zips.survey
            survey = look(context.file)
        return StepResult(survey.facts(), detail=_said(survey))


def _tar(context: StepContext) -> Survey:
    survey = Survey(packed=context.facts["size"], sizes="declared")
    for entry in tars.entries(tars.Plain(context.file)):
        if not survey.add(entry):
            break
    return survey


def _compressed(context: StepContext, kind: str) -> Survey:
    ceiling = context.profile.get("max_unpacked_size") or CEILING
    source = unpacking.Unpacking(context.file, kind, ceiling, Clock())
    survey = Survey(packed=context.facts["size"], sizes="counted", listed=tars.is_tar(source.peek(tars.RECORD)))
    if survey.listed:
        for entry in tars.entries(source):
            if not survey.add(entry):
                break
    while source.skip(MB) == MB:
        size = context.facts["size"]
        context.report(100 * min(context.file.tell(), size) // max(size, 1))
    survey.unpacked = source.count
    survey.sizes = "at least" if source.cut else "counted"
    return survey


def _said(survey: Survey) -> str:
    size = f"{'at least ' if survey.sizes == 'at least' else ''}{survey.unpacked} bytes unpacked"
    many = "more than " if survey.cut else ""
    return f"{many}{survey.entries} entries, {size}" if survey.listed else size
