"""The server's pages in Chromium: nothing on them breaks their Content Security Policy or comes from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.browser.conftest import Browser
from tests.process.conftest import ServerProcess

PASSWORD = "correct horse battery"

#: `click` and `fill` are selectors; `shows` appears when the page's scripts and styles have worked.
OWN_PAGES = [
    {"path": "/", "shows": "html[data-uploads=ready] #choose-files"},
    {
        "path": "/api/docs",
        "click": [".opblock-get .opblock-summary-control", ".try-out__btn", ".execute"],
        "shows": ".live-responses-table .response-col_status",
    },
]
ADMIN_PAGES = [
    {
        "path": "/admin/login/?next=/admin/",
        "fill": {"#id_username": "root", "#id_password": PASSWORD},
        "click": ["[type=submit]"],
        "shows": "#site-name",
    },
    {"path": "/admin/windlass_files/fileasset/", "click": ["#toggle-nav-sidebar"], "shows": "#changelist"},
    {"path": "/admin/windlass_accounts/apitoken/", "shows": "#changelist"},
    {"path": "/admin/auth/user/add/", "click": [".field-username"], "shows": "#user_form"},
    {
        "path": "/admin/auth/user/1/change/",
        # The filter of permissions, the calendar and the clock are made by scripts.
        "click": [".selector-available option", "#calendarlink0", "#clocklink0"],
        "shows": "#clockbox0",
    },
    {"path": "/admin/password_change/", "shows": "#id_new_password2"},
]


@pytest.fixture
def superuser(windlass: ServerProcess) -> None:
    command = [sys.executable, "-m", "django", "createsuperuser", "--noinput", "--username=root", "--email=a@b.example"]
    own = {"DJANGO_SETTINGS_MODULE": "windlass.settings", "WINDLASS_HOME": str(windlass.home)}
    subprocess.run(command, env=os.environ | own | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}, check=True)


def test_no_page_breaks_its_policy(browser: Browser, windlass: ServerProcess, superuser: None) -> None:
    seen = browser.visit(windlass.url, [*OWN_PAGES, *ADMIN_PAGES])
    assert seen["violations"] == []
    assert seen["origins"] == [windlass.url], "everything comes from the server, so the pages work offline"
    assert "script-src" in seen["noticed"], "a violation would have been noticed"
