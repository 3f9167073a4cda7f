"""A migrated SQLite database for new homes, made once: most of what a first start costs is applying migrations.

Without Django. Tests of the first start, of migrations and of other databases do not use it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path

import windlass

DATABASE, RECORD = "windlass.sqlite3", "migrated.json"
_CACHE = Path(__file__).parents[1] / ".pytest_cache" / "migrated"


def prepare(home: Path) -> None:
    """Give the home a migrated database, as ``windlass migrate`` would, unless it has one."""
    home.mkdir(mode=0o700, exist_ok=True)
    target = home / DATABASE
    if not target.exists():
        made = _migrated_database()
        shutil.copyfile(made, target)
        target.chmod(0o600)
        shutil.copyfile(made.with_suffix(".json"), home / RECORD)


@cache
def _migrated_database() -> Path:
    """The database of the schema of this source, which all test processes share."""
    made = _CACHE / f"{_schema()}.sqlite3"
    if not made.exists() or not made.with_suffix(".json").exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent) as directory:
            foreign = ("WINDLASS_", "DATABASE_URL", "DJANGO_SETTINGS_MODULE")
            environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
            command = [sys.executable, "-m", "windlass", "migrate", "--quiet", "--home", directory]
            subprocess.run(command, env=environment, check=True)
            assert not (Path(directory) / f"{DATABASE}-wal").exists()
            os.replace(Path(directory) / RECORD, made.with_suffix(".json"))
            os.replace(Path(directory) / DATABASE, made)
    return made


def _schema() -> str:
    """A digest of what decides the tables and their first rows."""
    source = Path(windlass.__file__).parent
    files = sorted([source / "settings.py", *source.rglob("models.py"), *source.rglob("migrations/*.py")])
    content = [f"{file.relative_to(source)}\n{file.read_text()}" for file in files]
    return hashlib.sha256("\0".join([metadata.version("django"), *content]).encode()).hexdigest()[:16]
