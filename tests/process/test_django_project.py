"""The tests of tests/django_project, a project that uses ``windlass.django``, run by Django's own test command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "django_project"
FOREIGN = ("WINDLASS_", "DATABASE_URL", "CELERY_", "AUTH_MODE", "DJANGO_")


def test_models_forms_admin_templates_serializers_and_signals(tmp_path: Path) -> None:
    run_tests(tmp_path)


def test_on_postgresql_too(tmp_path: Path, postgres: str) -> None:
    """There a connection that is closed within a test's transaction is lost."""
    run_tests(tmp_path, SHOP_DATABASE=postgres)


def run_tests(home: Path, **environment: str) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test", "--pattern", "tests.py"],
        cwd=PROJECT,
        env=plain | {"SHOP_HOME": str(home), "PYTHONPATH": str(PROJECT)} | environment,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Ran 0 tests" not in ended.stderr
