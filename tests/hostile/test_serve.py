"""Hostile files sent over HTTP to a whole ``windlass serve``, among ordinary ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest

from tests import samples
from tests.hostile.canary import MARK, Canary
from tests.hostile.catalogue import catalogue
from tests.hostile.sandbox_trial import ENDED
from tests.process.serving import TIMEOUT, Serve, new_home, until

pytestmark = pytest.mark.timeout(600)

HOSTILE = (
    *("zip_flat", "zip_overlapping", "zip_nested", "zip_that_lies", "zip_slip", "gzip_bomb", "xz_bomb", "tar_slip"),
    *("png_of_65535_squared", "png_bomb_interlaced", "png_with_a_profile_bomb", "gif_of_absurd_canvas", "webp_bomb"),
    *("tiff_whose_directory_follows_itself", "tiff_bomb", "jpeg_whose_exif_points_at_itself", "svg_billion_laughs"),
    *("svg_with_references", "svg_with_outer_entities", "pdf_filter_bomb", "pdf_whose_pages_are_a_circle"),
    *("pdf_of_nested_forms", "pdf_that_acts", "docx_entity_bomb", "docx_with_outer_references", "ods_of_absurd_size"),
    *("mail_of_nested_mails", "playlist_named_mp4", "playlist_by_its_name", "playlist_in_avi", "movie_of_outer_data"),
    *("mp4_of_absurd_tables", "mp3_with_packed_frames", "wav_that_lies", "matroska_of_great_depth", "gif_and_jar"),
    *("jpeg_and_html", "elf", "json_of_great_depth", "csv_of_many_columns", "xml_with_outer_entities", "empty"),
    *("magic_spaces", "utf16_of_lone_surrogates", "name_up", "name_line_ends", "name_shell", "name_right_to_left"),
)
#: What must be refused under the default profile, by the rule.
REFUSED = {"elf": "type-mismatch", "svg_named_png": "type-mismatch", "shell_script": "type-mismatch"}
#: Types that a browser may show without asking (docs/explanation/security.md).
SHOWN = ("image/", "audio/", "video/", "text/plain")


@dataclass
class Site:
    server: Serve
    canary: Canary
    http: httpx.Client
    worker: int
    sandbox: int

    def post(self, filename: str, content: bytes, declared: str | None = None) -> dict[str, Any]:
        named = quote(filename.encode("utf-8", "surrogatepass"))
        headers = {"Content-Type": declared or "application/octet-stream"}
        reply = self.http.post(f"files/?filename={named}", content=content, headers=headers)
        assert reply.status_code == 201, reply.text
        return dict(reply.json())

    def ended(self, posted: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + 4 * TIMEOUT
        while time.monotonic() < deadline:
            record = dict(self.http.get(posted["links"]["self"].lstrip("/")).json())
            if record["status"] in ENDED:
                return record
            time.sleep(0.1)
        raise AssertionError(f"{posted['original_filename']} has not ended: {record}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("hostile-site")
    limits = {"STEP_TIMEOUT_SECONDS": "5", "LONG_STEP_TIMEOUT_SECONDS": "5", "STEP_MEMORY_MB": "1024"}
    new_home(directory / "home")
    with (
        Canary(directory) as canary,
        Serve(directory / "home", JOB_MAX_ATTEMPTS="1", RATE_LIMIT_PER_MINUTE="0", **limits) as server,
        httpx.Client(base_url=server.ready().url, timeout=TIMEOUT) as http,
    ):
        worker = until(lambda: server.children().get("worker"), "the worker, which starts after the web process")
        site = Site(server, canary, http, worker.pid, 0)
        site.ended(site.post("first.txt", samples.text()))
        site.sandbox = sandbox_below(site.worker)
        yield site


def sandbox_below(worker: int) -> int:
    (parent,) = [
        child.pid
        for child in psutil.Process(worker).children()
        if any("windlass.processing.sandbox" in word for word in child.cmdline())
    ]
    return parent


@pytest.fixture(scope="module")
def records(site: Site) -> dict[str, dict[str, Any]]:
    """Every file's record after its end: all are posted before any must have ended, honest ones among them."""
    bait, posted = site.canary.bait(), {}
    for number, name in enumerate(dict.fromkeys([*HOSTILE, *REFUSED])):
        found = catalogue()[name]
        posted[name] = site.post(found.filename, found.make(bait), found.declared)
        if number % 5 == 0:
            posted[f"honest {number}"] = site.post(f"honest-{number}.jpg", samples.jpeg(300 + number, 200))
    return {name: site.ended(record) for name, record in posted.items()}


def test_each_hostile_file_ends_with_a_reason(site: Site, records: dict[str, dict[str, Any]]) -> None:
    for name, record in records.items():
        status = site.http.get(f"files/{record['id']}/status/").json()
        if record["status"] == "REJECTED":
            assert record["rejection"]["detail"], name
        elif record["status"] != "READY":
            assert status["message"], name
        assert all(step["detail"] for step in status["steps"] if step["state"] == "failed"), (name, status)
        assert {step["state"] for step in status["steps"]} <= {"done", "skipped", "failed", "owed"}, (name, status)


def test_ordinary_files_among_them_become_ready(records: dict[str, dict[str, Any]]) -> None:
    honest = {name: record for name, record in records.items() if name.startswith("honest ")}
    assert len(honest) >= 8
    assert {record["status"] for record in honest.values()} == {"READY"}
    assert all(record["thumbnail_url"] for record in honest.values())


@pytest.mark.parametrize(("name", "rule"), REFUSED.items())
def test_a_misleading_file_is_rejected(name: str, rule: str, records: dict[str, dict[str, Any]]) -> None:
    assert (records[name]["status"], records[name]["rejection"]["rule"]) == ("REJECTED", rule)


def test_no_canary_was_touched_and_no_process_restarted(site: Site, records: dict[str, dict[str, Any]]) -> None:
    assert len(records) > 50
    assert site.canary.heard() == []
    assert site.server.children()["worker"].pid == site.worker
    assert sandbox_below(site.worker) == site.sandbox
    until(lambda: len(psutil.Process(site.sandbox).children()) <= 1, "the last child but the prepared one to be reaped")
    assert list((Path(site.server.home) / "scratch").iterdir()) == []


def test_no_reply_has_bytes_of_the_canary(site: Site, records: dict[str, dict[str, Any]]) -> None:
    for name, record in records.items():
        assert MARK not in str(record), name
        served = record["status"] not in ("REJECTED", "QUARANTINED")
        for made in record["renditions"]:
            rendition = site.http.get(made["url"])
            assert rendition.status_code == (200 if served else 403), name
            assert MARK.encode() not in rendition.content, name


def test_downloads_have_safe_names_and_headers(site: Site, records: dict[str, dict[str, Any]]) -> None:
    for name, record in records.items():
        assert not set(record["original_filename"]) & set("/\\\r\n\0\u202e"), name
        reply = site.http.get(record["links"]["download"].lstrip("/"))
        if record["status"] == "REJECTED":
            assert reply.status_code == 403, name
            continue
        if record["status"] == "FAILED" and reply.status_code == 409:
            continue  # before its gate had passed
        assert reply.status_code == 200, name
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in reply.headers["content-security-policy"]
        kind = reply.headers["content-type"]
        if not kind.startswith(SHOWN) or "svg" in kind:
            assert reply.headers["content-disposition"].startswith("attachment"), (name, kind)
