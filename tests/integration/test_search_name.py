"""Files from before the migrations of search_name and search_facts are found by both after them, on either database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

call_command("migrate", "windlass_files", "0009", verbosity=0)
old = MigrationExecutor(connection).loader.project_state([("windlass_files", "0009_spare_objects")]).apps
files = old.get_model("windlass_files", "FileAsset")
for number in range(1500):
    facts = {"title": "Logb\\u00fccher"} if number % 2 else {}
    name = f"\\u00dcber {number}.txt"
    files.objects.create(owner="o", original_filename=name, size=1, profile="default", extra_attributes=facts)
call_command("migrate", verbosity=0)
from windlass.files.api import FileAsset
assert FileAsset.objects.filter(search_name__contains="\\u00fcber").count() == 1500
assert FileAsset.objects.filter(search_facts="logb\\u00fccher").count() == 750
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_files_from_before_the_migration_are_found(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    database = {"DATABASE_URL": request.getfixturevalue("postgres")} if kind == "postgresql" else {}
    environment = {
        **os.environ,
        **database,
        "WINDLASS_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "windlass.settings",
    }
    subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, timeout=120)
