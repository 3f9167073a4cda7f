"""Where the sign-in page leads, who gets the operations page, and the link for the first account."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.test_sessions import PASSWORD, Browser, new_user, token_of
from windlass.conf import first_run_key
from windlass.kernel.principals import Scope

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]


@pytest.fixture
def app(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Any:
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    configure(AUTH_MODE="required", RATE_LIMIT_PER_MINUTE="0")
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1)
    from windlass.asgi import application

    return application


@pytest.fixture
def browser(app: Any) -> Browser:
    return Browser(app)


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/operations/?window=day", "/operations/?window=day"),
        ("/f/1/#facts", "/f/1/#facts"),
        ("", "/"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("///elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("\\\\elsewhere.example/", "/"),
        ("/\t/elsewhere.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("data:text/html,hello", "/"),
        ("\x08//elsewhere.example", "/"),
        ("operations/", "/"),
        ("/sign-in/?next=/", "/"),
    ],
)
def test_the_sign_in_page_leads_to_paths_of_this_server_only(browser: Browser, wanted: str, leads_to: str) -> None:
    from django.utils.html import escape

    page = browser("GET", f"/sign-in/?next={quote(wanted, safe='')}")
    assert page.status_code == 200
    assert f'data-next="{escape(leads_to)}"' in page.text


def test_the_operations_page_is_for_staff(browser: Browser) -> None:
    answer = browser("GET", "/operations/?a=1")
    assert (answer.status_code, answer.headers["location"]) == (302, "/sign-in/?next=%2Foperations%2F%3Fa%3D1")
    browser.sign_in(username=new_user().username, password=PASSWORD)
    assert browser("GET", "/operations/").status_code == 404
    staff = new_user(staff=True)
    browser.sign_in(token=token_of(staff, scopes={Scope.READ, Scope.WRITE}))
    assert browser("GET", "/operations/").status_code == 404
    browser.sign_in(username=staff.username, password=PASSWORD)
    assert browser("GET", "/operations/").status_code == 200


@pytest.fixture
def home(browser: Browser) -> Any:
    """The home directory of a server where nobody is staff yet."""
    from django.contrib.auth.models import User

    from windlass import conf

    User.objects.update(is_staff=False)
    home = conf.get().windlass_home
    yield home
    first_run_key.withdraw(home)


def account(key: str, name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"key": key, "username": name, "password1": password, "password2": password}


def send(browser: Browser, form: dict[str, str]) -> Any:
    return browser("POST", "/first-run/", data=form)


def test_the_first_run_link_makes_one_account_of_staff(browser: Browser, home: Path) -> None:
    from django.contrib.auth.models import User

    key = first_run_key.create(home)
    assert "one-time" not in browser("GET", "/").text
    assert "Nobody has an account" in browser("GET", "/sign-in/").text
    assert browser("GET", f"/first-run/?key={key}").status_code == 200
    assert browser("GET", f"/first-run/?key={key}").status_code == 200, "looking at the link does not use it"
    name = f"first-{key[:6]}"
    answer = send(browser, account(key, name))
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    user = User.objects.get(username=name)
    assert user.is_staff
    assert user.is_superuser
    found = browser("GET", "/api/v1/auth/session").json()
    assert (found["name"], found["staff"]) == (name, True)
    assert not first_run_key.exists(home)
    for again in (key, first_run_key.create(home)):  # as if a server had started before that account was made
        assert browser("GET", f"/first-run/?key={again}").status_code == 404
        assert send(browser, account(again, f"second-{key[:6]}")).status_code == 404
    assert not User.objects.filter(username=f"second-{key[:6]}").exists()
    assert "Nobody has an account" not in browser("GET", "/sign-in/").text


def test_the_first_run_form_says_what_is_wrong_in_the_words_of_the_validators(browser: Browser, home: Path) -> None:
    key = first_run_key.create(home)
    browser("GET", f"/first-run/?key={key}")
    taken = new_user().username
    short = send(browser, account(key, "ada", "short"))
    assert short.status_code == 422
    assert "It must contain at least 8 characters" in short.text
    assert "too common" in send(browser, account(key, "ada", "password")).text
    assert "already exists" in send(browser, account(key, taken.upper())).text
    assert "t match" in send(browser, account(key, "ada") | {"password2": "another-password"}).text
    assert browser("POST", "/first-run/", csrf=False, data=account(key, "ada")).status_code == 403
    assert first_run_key.is_valid(home, key), "none of these has used the link"


@pytest.mark.parametrize("broken", ["wrong", "expired", "replaced", "withdrawn", "damaged", "empty"])
def test_a_link_that_is_not_valid_makes_no_account(browser: Browser, home: Path, broken: str) -> None:
    from django.contrib.auth.models import User

    key = first_run_key.create(home)
    browser("GET", f"/first-run/?key={key}")
    file = home / "first-run.json"
    match broken:
        case "wrong":
            key = key[:-1] + ("A" if key[-1] != "A" else "B")
        case "expired":
            file.write_text(json.dumps(json.loads(file.read_text()) | {"until": time.time() - 1}))
        case "replaced":
            first_run_key.create(home)
        case "withdrawn":
            first_run_key.withdraw(home)
        case "damaged":
            file.write_text("{}")
        case "empty":
            key = ""
    name = f"nobody-{broken}"
    answer = send(browser, account(key, name))
    assert answer.status_code == 404
    assert "windlass user add" in answer.text
    assert not User.objects.filter(username=name).exists()


def test_the_key_is_stored_as_a_hash_that_only_the_server_reads(tmp_path: Path) -> None:
    key = first_run_key.create(tmp_path)
    file = tmp_path / "first-run.json"
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
