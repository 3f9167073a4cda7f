"""Rows of a large library: file records without bytes, written to the database of a server's home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FILL = """
import django
django.setup()
from windlass.files.api import FileAsset
from windlass.kernel import filenames
names = [f"row {number:05}.txt" for number in range(%d)]
FileAsset.objects.bulk_create(
    [
        FileAsset(owner="anonymous", original_filename=name, search_name=filenames.comparable(name), size=1,
                  profile="default", status="READY", mime_type="text/plain", gate_passed=True)
        for name in names
    ],
    batch_size=500,
)
"""


def fill(home: Path, count: int) -> None:
    """Add files of the owner ``anonymous``, ``row 00000.txt`` and so on, beside a running server."""
    environment = os.environ | {"WINDLASS_HOME": str(home), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
    subprocess.run([sys.executable, "-c", FILL % count], env=environment, check=True, timeout=120)
