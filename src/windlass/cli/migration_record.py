"""Whether the database in the home directory is migrated already: then ``serve`` starts without ``migrate``.

After every successful ``migrate``, a file beside the database records which migrations this version has, and which the
database had applied. Both are compared at the next start, so another version, a restored or replaced database and an
interrupted ``migrate`` are noticed. Anything unclear counts as not migrated: ``migrate`` then decides.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from windlass import __version__, conf
from windlass.cli.environment import SQLITE_NAME
from windlass.conf.loading import is_standalone

_FILE = "migrated.json"


def is_migrated(settings: conf.Settings) -> bool:
    """Only ever true for the standalone server with the SQLite database in its home directory."""
    if not _is_embedded(settings):
        return False
    try:
        recorded = json.loads((settings.windlass_home / _FILE).read_text())
        return bool(recorded == _state(settings.windlass_home))
    except (OSError, ValueError, sqlite3.Error):
        return False


def forget_migrations(settings: conf.Settings) -> None:
    """Call it before a migration: one that is interrupted after its last migration has not made all that belongs to it.
    Raises OSError."""
    if _is_embedded(settings):
        (settings.windlass_home / _FILE).unlink(missing_ok=True)


def record_migrations(settings: conf.Settings) -> None:
    """Call it after a successful migration. A failure costs the next start some time."""
    if _is_embedded(settings):
        path = settings.windlass_home / _FILE
        with suppress(OSError, sqlite3.Error):
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(_state(settings.windlass_home)))
            temporary.replace(path)


def _is_embedded(settings: conf.Settings) -> bool:
    return not settings.database_url and is_standalone()


def _state(home: Path) -> dict[str, str]:
    """Raises OSError, sqlite3.Error."""
    return {"version": __version__, "known": _digest(_known()), "applied": _digest(_applied(home / SQLITE_NAME))}


def _known() -> Iterable[str]:
    """The migrations of Windlass's and Django's apps. No app is loaded."""
    import django

    yield django.get_version()
    for package, pattern in (
        (Path(__file__).parents[1], "**/migrations/*.py"),
        (Path(django.__file__).parent, "contrib/*/migrations/*.py"),
    ):
        yield from sorted(str(path.relative_to(package)) for path in package.glob(pattern))


def _applied(database: Path) -> Iterable[str]:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        rows = connection.execute("SELECT app, name FROM django_migrations ORDER BY app, name").fetchall()
    return [f"{app}.{name}" for app, name in rows]


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
