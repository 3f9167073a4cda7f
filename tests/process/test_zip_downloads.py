"""ZIP downloads over real HTTP, read by Python's zipfile and checked by the rules of unzip."""

from __future__ import annotations

import io
import os
import time
import uuid
import zipfile

import httpx
import pytest


def stored(http: httpx.Client, name: str, body: bytes, **fields: str) -> str:
    record = http.put(f"/files/{name}", content=body, params=fields).raise_for_status().json()
    deadline = time.monotonic() + 60
    while http.head(record["links"]["download"]).status_code == 409 and time.monotonic() < deadline:
        time.sleep(0.05)
    return str(record["id"])


def opened(answer: httpx.Response) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/zip"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    found = zipfile.ZipFile(io.BytesIO(answer.content))
    assert found.testzip() is None
    return found


def test_files_are_in_the_requested_order_with_unique_names(http: httpx.Client) -> None:
    large = os.urandom(3_000_000)
    ids = [stored(http, "b.bin", large), stored(http, "a.txt", b"one\n"), stored(http, "A.txt", b"two\n")]
    ids.append(stored(http, "empty.bin", b""))
    found = opened(http.get("/files/zip/", params={"ids": ",".join(ids), "filename": "all of it.zip"}))
    assert found.namelist() == ["b.bin", "a.txt", "A (2).txt", "empty.bin"]
    assert [found.read(name) for name in found.namelist()] == [large, b"one\n", b"two\n", b""]


def test_long_equal_names_are_truncated_before_their_number(http: httpx.Client) -> None:
    name = "\u00fc" * 125 + ".text"
    found = opened(
        http.get("/files/zip/", params={"ids": ",".join(stored(http, name, str(n).encode()) for n in range(3))})
    )
    names = found.namelist()
    assert names == [name, "\u00fc" * 123 + " (2).text", "\u00fc" * 123 + " (3).text"]
    assert max(len(one.encode()) for one in names) <= 255


def test_files_are_selected_by_reference_and_by_json_body(http: httpx.Client) -> None:
    reference = uuid.uuid4().hex
    ids = [stored(http, f"{n}.txt", str(n).encode(), reference=reference) for n in range(3)]
    by_reference = http.get("/files/zip", params={"reference": reference})
    assert by_reference.headers["Content-Disposition"] == 'attachment; filename="files.zip"'
    assert opened(by_reference).namelist() == ["0.txt", "1.txt", "2.txt"]
    by_body = http.post("/files/zip/", json={"ids": ids[::-1], "filename": "../x\r\n.zip"})
    assert by_body.headers["Content-Disposition"] == 'attachment; filename="x.zip"'
    assert opened(by_body).namelist() == ["2.txt", "1.txt", "0.txt"]
    assert http.head("/files/zip/", params={"ids": ids[0]}).headers["Content-Length"]


def test_one_unavailable_file_refuses_the_whole_zip(http: httpx.Client) -> None:
    good = stored(http, "good.txt", b"good")
    rejected = http.put("/files/page.jpg", content=b"<!DOCTYPE html><html></html>").json()["id"]
    deadline = time.monotonic() + 60
    while http.head(f"/files/{rejected}/download/").status_code == 409 and time.monotonic() < deadline:
        time.sleep(0.05)
    answer = http.get("/files/zip/", params={"ids": f"{good},{rejected}"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json")
    assert http.get("/files/zip/", params={"ids": f"{good},{uuid.uuid4()}"}).status_code == 404
    assert http.get("/files/zip/", params={"ids": f"{good},nonsense"}).status_code == 422
    assert http.get("/files/zip/", params={"reference": uuid.uuid4().hex}).status_code == 404


@pytest.mark.parametrize("body", ["[]", '{"ids": "x"}', '{"ids": [1]}', "{}", '{"reference": 1}'])
def test_an_invalid_body_is_refused_with_a_detail(http: httpx.Client, body: str) -> None:
    answer = http.post("/files/zip/", content=body)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_more_than_a_thousand_files_are_refused(http: httpx.Client) -> None:
    answer = http.post("/files/zip/", json={"ids": [str(uuid.uuid4()) for _ in range(1001)]})
    assert answer.status_code == 422
    assert "1000" in answer.json()["detail"]
