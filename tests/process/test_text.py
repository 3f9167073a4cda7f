"""The text of a document, from a real server with real workers, to curl, the client and the command."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests import document_samples, samples
from tests.process.conftest import ServerProcess
from tests.process.test_client import windlass
from windlass.client import Client, NotFound


def test_the_text_of_a_document_is_extracted_and_served(shared_server: ServerProcess, tmp_path: Path) -> None:
    document = tmp_path / "voyage.docx"
    document.write_bytes(document_samples.docx())
    with Client(shared_server.url) as client:
        file = client.wait(client.upload(document).id, timeout=90)
        assert (file.status, file.page_count) == ("READY", 3)
        assert client.text(file.id) == "Haul away.\nThe anchor is up.\n\n"
    reply = httpx.get(f"{shared_server.url}/files/{file.id}/text/")
    assert (reply.text, reply.headers["content-type"]) == (
        "Haul away.\nThe anchor is up.\n\n",
        "text/plain; charset=utf-8",
    )
    assert windlass(shared_server, "files", "text", file.id).stdout == "Haul away.\nThe anchor is up.\n\n"
    record = httpx.get(f"{shared_server.url}/files/{file.id}/").json()
    (rendition,) = record["renditions"]
    assert (rendition["name"], rendition["kind"]) == ("text", "text")
    assert record["extra_attributes"]["title"] == "The voyage"


def test_a_picture_has_no_text(shared_server: ServerProcess, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(samples.png())
    with Client(shared_server.url) as client:
        file = client.wait(client.upload(picture).id, timeout=90)
        with pytest.raises(NotFound):
            client.text(file.id)
