"""The commands for operators of the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.process.serving import new_home, run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    new_home(made)
    return made


def test_a_token_is_created_listed_and_revoked(home: Path) -> None:
    created = run(
        "token",
        "create",
        "--user",
        "ann",
        "--staff",
        "--name",
        "ci",
        "--scope",
        "read",
        "--expires-in",
        "7d",
        home=home,
    )
    assert created.returncode == 0
    assert re.fullmatch(r"wl_[A-Za-z0-9_-]{43}\n", created.stdout)
    listed = run("token", "list", home=home).stdout
    assert re.search(r"1\s+ann\s+ci\s+never used\s+2\d{3}-\S+\s+read\n", listed)
    assert created.stdout.strip() not in listed
    assert run("token", "revoke", "1", home=home).returncode == 0
    assert run("token", "list", home=home).stdout == ""
    again = run("token", "revoke", "1", home=home)
    assert (again.returncode, again.stderr) == (2, "windlass: there is no token 1\n")


def test_users_tokens_and_checks_are_printed_as_json(home: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a long enough passphrase\n")

    def documents(*command: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in run(*command, "--json", home=home).stdout.splitlines()]

    add = ["user", "add", "ann", "--staff", "--password-file", str(tmp_path / "password")]
    assert documents(*add) == [{"name": "ann", "created": True, "staff": True}]
    assert documents("user", "list") == [
        {"number": "1", "name": "ann", "staff": True, "active": True, "last_login": None}
    ]
    run("token", "create", "--user", "ann", "--name", "ci", "--scope", "read", home=home)
    assert documents("token", "list") == [
        {"number": 1, "user": "ann", "name": "ci", "scopes": "read", "last_used_at": None, "expires_at": None}
    ]
    checks = documents("check")
    assert {"database", "broker"} <= {each["name"] for each in checks if each["ok"]}


def test_a_command_without_tables_names_the_migrate_command(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "windlass.sqlite3").touch()
    result = run("token", "create", "--user", "ann", home=tmp_path / "home")
    assert result.returncode == 2
    assert "Run `windlass migrate` first." in result.stderr
    assert "Traceback" not in result.stderr


def test_migrating_twice_succeeds(home: Path) -> None:
    assert run("migrate", home=home).returncode == 0


def lines(output: str) -> dict[str, str]:
    """Return the state of each check by its name."""
    return {name: state for state, name, *_ in (line.split() for line in output.splitlines())}


def test_check_reports_each_part(home: Path) -> None:
    result = run("check", home=home)
    assert lines(result.stdout) == dict.fromkeys(
        ["settings", "profiles", "home", "database", "storage", "broker", "sandbox", "steps", "scanner"], "ok"
    ), result.stdout
    assert result.returncode == 0


def test_check_reports_failures_with_their_reasons(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text("[default]\nmax_sise = 3\n")
    result = run(
        "check",
        home=tmp_path / "home",
        WINDLASS_PROFILES=str(profiles),
        CELERY_BROKER_URL="redis://user:hush@127.0.0.1:9/0",
        START_WAIT_SECONDS="0",
    )
    states = lines(result.stdout)
    assert (states["profiles"], states["database"], states["broker"]) == ("failed", "failed", "failed")
    assert (states["settings"], states["home"]) == ("ok", "ok")
    assert "max_sise" in result.stdout
    assert "run `windlass migrate`" in result.stdout
    assert "hush" not in result.stdout + result.stderr
    assert result.returncode == 1


def test_an_invalid_setting_is_reported_on_one_line(tmp_path: Path) -> None:
    result = run("check", home=tmp_path / "home", WINDLASS_WORKER_CONCURENCY="2")
    assert result.returncode == 2
    assert result.stderr.endswith("Did you mean WINDLASS_WORKER_CONCURRENCY?\n")
    assert result.stderr.count("\n") == 1


def test_an_unknown_queue_is_refused_with_the_known_ones(home: Path) -> None:
    result = run("worker", "--queues", "intake,thumbs", home=home)
    assert (result.returncode, result.stderr) == (
        2,
        "windlass: there is no queue 'thumbs'; there are intake, light, intake-light, heavy, intake-heavy, "
        "describe, describe-light, describe-heavy, derive, derive-light, derive-heavy\n",
    )
