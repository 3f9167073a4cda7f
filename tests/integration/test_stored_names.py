"""What uploads are called on the disk, whatever their clients call them, and that nothing of them can be executed."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from tests.integration.asgi_client import ApiClient

pytest_plugins = ["tests.integration.record_plane"]

KEY = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f-]{36}")
PROGRAM = b"#!/bin/sh\n<?php system($_GET['x']); ?>\n<% Runtime.exec(x) %>\n"


@pytest.mark.parametrize("name", ["shell.php", "../../../etc/cron.d/shell", "shell.jsp%00.txt", ".htaccess", "a.cgi"])
def test_asvs_5_3_1_a_program_is_stored_under_a_name_of_the_server_and_cannot_be_executed(
    records_home: Path, name: str
) -> None:
    from windlass.asgi import application
    from windlass.files.api import FileAsset
    from windlass.storage.registry import store

    reply = ApiClient(application)("POST", "/files/", params={"filename": name}, content=PROGRAM + name.encode())
    assert reply.status_code == 201, reply.text
    key = FileAsset.objects.get(id=reply.json()["id"]).blob.key
    assert KEY.fullmatch(key)
    path = store().local_path(key)
    assert path is not None
    assert not path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH | stat.S_IROTH | stat.S_IWOTH)
    assert not [found for found in records_home.rglob("*") if "shell" in found.name or "htaccess" in found.name]
    for address in (f"/{key}", f"/static/{key}", f"/objects/{Path(key).name}", f"/files/../{key}"):
        assert ApiClient(application)("GET", address).status_code == 404
