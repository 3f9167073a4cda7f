"""Files to try a scanner's limits with: its answer tells what it reads, and whether it says where it stopped."""

from __future__ import annotations

import io
import zipfile

#: The test file of EICAR, which every scanner knows; in two parts, or this file would be one.
EICAR = b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", b"ANTIVIRUS-TEST-FILE!$H+H*"))
#: Deeper than ``MaxRecursion`` of clamd can be set.
_DEEPER = 120


def archive_of_test_file(size: int) -> bytes:
    """An archive of so many bytes at most, of which the last entry is the test file."""
    padding = max(size - 1024, 0)
    return _zipped({"padding": bytes(padding), "eicar.com": EICAR})


def archive_too_deep() -> bytes:
    """Archives in each other, deeper than any scanner looks."""
    content = b"nothing"
    for _ in range(_DEEPER):
        content = _zipped({"inner.zip": content})
    return content


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()
