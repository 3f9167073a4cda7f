"""Migrations since the previous release let its processes go on: web processes are replaced one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connections, migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from tests import django_home
from tests.upgrade.compatibility import incompatibilities
from tests.upgrade.previous_release import migrations_since, previous_release
from windlass.database.online_index import AddIndexOnline, RemoveIndexOnline
from windlass.kernel.clock import now
from windlass.kernel.ids import new_id
from windlass.operations.checks.check import CheckState

APP = "windlass_trial"
REPAIR = "0006_defaults_for_previous_version"


@pytest.fixture(scope="module", autouse=True)
def _django() -> None:
    django_home.set_up()


def after(state: ProjectState, *operations: Operation) -> ProjectState:
    """The state after these operations; the given one stays as it is."""
    changed = state.clone()
    for operation in operations:
        operation.state_forwards(APP, changed)
    return changed


@pytest.fixture
def old() -> ProjectState:
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=20, null=True)),
        ("count", models.PositiveIntegerField(db_default=0)),
    ]
    options = {"constraints": [models.UniqueConstraint(fields=["name"], name="one_name")]}
    return after(ProjectState(), migrations.CreateModel("Thing", fields, options))


def unique(name: str, *fields: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=fields, name=name)


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ([migrations.DeleteModel("Thing")], "table windlass_trial_thing is gone"),
        ([migrations.RenameModel("Thing", "Other")], "table windlass_trial_thing is gone"),
        ([migrations.AlterModelTable("Thing", "things")], "table windlass_trial_thing is gone"),
        ([migrations.RemoveField("Thing", "count")], "thing.count is gone"),
        ([migrations.RenameField("Thing", "count", "number")], "thing.count is gone"),
        ([migrations.AddField("Thing", "more", models.IntegerField(default=0))], "thing.more is new, and is neither"),
        ([migrations.AddField("Thing", "more", models.IntegerField(null=True, unique=True))], "new and unique"),
        ([migrations.AlterField("Thing", "name", models.CharField(max_length=20, default=""))], "no longer be null"),
        ([migrations.AlterField("Thing", "name", models.CharField(max_length=9, null=True))], "is shorter: 9"),
        (
            [migrations.AlterField("Thing", "name", models.CharField(max_length=20, null=True, unique=True))],
            "is unique",
        ),
        ([migrations.AlterField("Thing", "name", models.IntegerField(null=True))], "was a CharField"),
        ([migrations.AlterField("Thing", "count", models.BigIntegerField())], "has no db_default any more"),
        ([migrations.AddConstraint("Thing", unique("one_count", "count"))], "constraint one_count"),
        ([migrations.AlterUniqueTogether("Thing", {("name", "count")})], "unique_together"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_old_processes_is_found(old: ProjectState, operations: list[Operation], reason: str) -> None:
    found = incompatibilities(old, after(old, *operations))
    assert any(reason in each for each in found), found


@pytest.mark.parametrize(
    "operations",
    [
        [migrations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))])],
        [migrations.AddField("Thing", "more", models.IntegerField(null=True))],
        [migrations.AddField("Thing", "more", models.CharField(max_length=5, default="", db_default=""))],
        [migrations.AlterField("Thing", "name", models.TextField(null=True))],
        [migrations.AlterField("Thing", "count", models.PositiveBigIntegerField(db_default=0))],
        [migrations.AddIndex("Thing", models.Index(fields=["count"], name="by_count"))],
        [
            migrations.RemoveConstraint("Thing", "one_name"),
            migrations.AddConstraint("Thing", unique("one_per_name", "name")),
        ],
        [
            migrations.RenameField("Thing", "count", "number"),
            migrations.AlterField("Thing", "number", models.PositiveIntegerField(db_default=0, db_column="count")),
        ],
    ],
    ids=["table", "null", "db_default", "text", "bigger", "index", "constraint renamed", "field renamed"],
)
def test_what_does_not_break_them_is_allowed(old: ProjectState, operations: list[Operation]) -> None:
    assert incompatibilities(old, after(old, *operations)) == []


def test_code_of_the_previous_release_can_run_on_every_schema_since() -> None:
    """Also on those in between: its processes run while each migration is applied."""
    loader, release = MigrationLoader(None), previous_release()
    since = migrations_since(release, loader)
    apps = {app for app, _ in loader.graph.leaf_nodes() if app.startswith("windlass_")}
    assert release.migrations.keys() <= apps
    state = loader.project_state(release.nodes)
    before = state.clone()
    for node in since:
        state = loader.get_migration(*node).mutate_state(state)
        assert incompatibilities(before, state) == [], f"after {node[0]}.{node[1]}"


def test_migrations_hide_no_change_of_the_schema() -> None:
    """Their operations say what they do: SQL of their own says nothing of it. One transaction applies each, or each
    operation can be repeated."""
    loader = MigrationLoader(None)
    for node in migrations_since(previous_release(), loader):
        migration = loader.get_migration(*node)
        repeatable = all(isinstance(each, AddIndexOnline | RemoveIndexOnline) for each in migration.operations)
        assert migration.atomic or repeatable, f"{node}: killed in the middle, it could not be applied again"
        hidden = [each for each in operations_of(migration.operations) if isinstance(each, migrations.RunSQL)]
        assert not hidden, f"{node}: use operations on models, or RunPython for data"


def operations_of(operations: list[Operation]) -> Iterator[Operation]:
    for operation in operations:
        yield operation
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from operations_of(operation.database_operations)


def test_a_schema_that_is_newer_than_the_code_is_complete_for_it() -> None:
    """So processes stay ready after the database was migrated to the version that will replace them."""
    from windlass.operations.checks.database import check_migrations

    django_home.migrated()
    recorder = MigrationRecorder(connections["default"])
    recorder.record_applied("windlass_jobs", "9999_of_the_next_version")
    try:
        assert check_migrations().state == CheckState.OK
    finally:
        recorder.record_unapplied("windlass_jobs", "9999_of_the_next_version")


@pytest.fixture
def scratch_database(tmp_path: Path) -> Iterator[BaseDatabaseWrapper]:
    """An empty SQLite database beside the one of the settings."""
    connections.databases["scratch"] = connections.databases["default"] | {"NAME": str(tmp_path / "scratch.sqlite3")}
    connection = connections["scratch"]
    yield connection
    connection.close()
    del connections["scratch"], connections.databases["scratch"]


def test_databases_that_applied_0003_without_defaults_get_them(scratch_database: BaseDatabaseWrapper) -> None:
    """0003_dead_letters has set none at first; 0006 repairs what it left."""
    release, loader = previous_release(), MigrationLoader(None)
    at_0003 = loader.project_state(("windlass_jobs", "0003_dead_letters")).apps
    executor = MigrationExecutor(scratch_database)
    executor.migrate([("windlass_jobs", "0003_dead_letters")])
    with scratch_database.schema_editor() as editor:
        for name, columns in import_module(f"windlass.jobs.migrations.{REPAIR}").COLUMNS.items():
            model = at_0003.get_model("windlass_jobs", name)
            for column in columns:
                field = model._meta.get_field(column)
                without = field.clone()
                without.db_default = models.NOT_PROVIDED
                without.set_attributes_from_name(column)
                without.model = model
                editor.alter_field(model, field, without)

    old_job = loader.project_state(release.nodes).apps.get_model("windlass_jobs", "Job")
    values = {"stage": "intake", "due_at": now(), "max_attempts": 5}
    with pytest.raises(IntegrityError):
        old_job.objects.using("scratch").create(file_id=new_id(), **values)
    for _ in range(2):  # the second time there is nothing to do
        MigrationExecutor(scratch_database).migrate([("windlass_jobs", REPAIR)])
        old_job.objects.using("scratch").create(file_id=new_id(), **values)
        MigrationRecorder(scratch_database).record_unapplied("windlass_jobs", REPAIR)
