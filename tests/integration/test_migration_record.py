"""When `serve` may start without `migrate`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests import migrated_home
from tests.process.serving import run
from windlass import conf
from windlass.cli import migration_record
from windlass.cli.migration_record import is_migrated, record_migrations


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> conf.Settings:
    """Of the standalone server, whose home `windlass migrate` has migrated."""
    monkeypatch.setattr(migration_record, "is_standalone", lambda: True)
    migrated_home.prepare(tmp_path / "home")
    return replace(conf.get(), windlass_home=tmp_path / "home", database_url="")


def change(home: Path, statement: str) -> None:
    with closing(sqlite3.connect(home / migrated_home.DATABASE)) as database, database:
        database.execute(statement)


def unapply(home: Path) -> None:
    change(home, "DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations)")


def apply_later_one(home: Path) -> None:
    change(home, "INSERT INTO django_migrations (app, name, applied) VALUES ('files', '9999_later', '2030-01-01')")


def lose_database(home: Path) -> None:
    (home / migrated_home.DATABASE).unlink()


def lose_record(home: Path) -> None:
    (home / migrated_home.RECORD).unlink()


def damage_record(home: Path) -> None:
    (home / migrated_home.RECORD).write_text("{")


def test_a_migrated_home_needs_no_migration(settings: conf.Settings) -> None:
    assert is_migrated(settings)


@pytest.mark.parametrize("happens", [unapply, apply_later_one, lose_database, lose_record, damage_record])
def test_anything_else_does(happens: Callable[[Path], None], settings: conf.Settings) -> None:
    happens(settings.windlass_home)
    before = sorted(settings.windlass_home.iterdir())
    assert not is_migrated(settings)
    assert sorted(settings.windlass_home.iterdir()) == before


def test_another_version_does(settings: conf.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    known = list(migration_record._known())
    assert any("files" in name for name in known)
    monkeypatch.setattr(migration_record, "_known", lambda: [*known, "files/migrations/9999_new.py"])
    assert not is_migrated(settings)
    record_migrations(settings)
    assert is_migrated(settings)


def test_another_database_than_the_home_has_does(settings: conf.Settings) -> None:
    assert not is_migrated(replace(settings, database_url="postgresql://localhost/windlass"))


def test_a_migration_that_did_not_end_leaves_no_record(settings: conf.Settings) -> None:
    """The database may have all migrations by then, and lack what is made after the last one."""
    home, rename = settings.windlass_home, "UPDATE django_migrations SET name = '{1}' WHERE name = '{0}'"
    change(home, rename.format("0017_periodic_task_state", "0017_other"))
    assert run("migrate", home=home).returncode != 0
    change(home, rename.format("0017_other", "0017_periodic_task_state"))
    assert not is_migrated(settings)
