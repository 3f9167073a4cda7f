"""The media API against a real server: a social-video back end (http-api section 4)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import samples
from tests.process.chunk_client import problem
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, StoredData, connect, eventually, wait_until_processed

API = "/api/v1/media"
MEDIA_OUT = {
    "id",
    "media_id",
    "post_id",
    "media_type",
    "file_name",
    "file_size",
    "content_type",
    "file_path",
    "thumbnail_url",
    "width",
    "height",
    "duration",
    "codec",
    "bitrate",
    "status",
    "created_at",
}


def init_upload(http: httpx.Client, data: bytes, name: str = "clip.mp4", kind: str = "video/mp4", **more: Any) -> Any:
    asked = {"file_name": name, "file_size": len(data), "content_type": kind, "chunk_size": 4096} | more
    return http.post(f"{API}/upload/init", json=asked)


def chunk(http: httpx.Client, upload_id: str, index: int, data: bytes) -> httpx.Response:
    body = data[index * 4096 : (index + 1) * 4096]
    fields = {"upload_id": upload_id, "chunk_index": str(index)}
    return http.post(f"{API}/upload/chunk", data=fields, files={"chunk": ("blob", body)})


def send_whole(http: httpx.Client, name: str, data: bytes, kind: str = "", **fields: str) -> httpx.Response:
    return http.post(f"{API}/upload/simple", data=fields, files={"file": (name, data, kind) if kind else (name, data)})


def test_a_video_is_uploaded_in_chunks_and_finalized(http: httpx.Client) -> None:
    video = samples.mp4(320, 240, 2)
    made = init_upload(http, video)
    assert made.status_code == 200, made.text
    document = made.json()
    assert set(document) == {"upload_id", "chunk_size", "total_chunks", "expires_at"}
    upload, total = document["upload_id"], document["total_chunks"]
    assert total >= 2
    early = http.post(f"{API}/upload/{upload}/finalize", json={})
    problem(early, 409, "conflict", missing_chunks=list(range(total)))
    second = chunk(http, upload, 1, video).json()
    assert second == {
        "upload_id": upload,
        "chunk_index": 1,
        "status": "received",
        "progress": pytest.approx(100 * len(video[4096:8192]) / len(video), abs=0.01),
        "next_chunk": 0,
    }
    for index in range(total):
        answer = chunk(http, upload, index, video)
        assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["progress"], answer.json()["next_chunk"]) == (
        "completed",
        100.0,
        None,
    )
    status = http.get(f"{API}/upload/{upload}/status").json()
    assert status == {
        "upload_id": upload,
        "status": "completed",
        "progress": 100.0,
        "received_chunks": list(range(total)),
        "missing_chunks": [],
        "next_chunk": None,
        "total_chunks": total,
    }
    assert http.get(f"/uploads/{upload}", headers={"Accept": "application/json"}).json()["status"] == "active"
    answers = [http.post(f"{API}/upload/{upload}/finalize", json={"post_id": "post-1"}) for _ in range(2)]
    media = answers[0].json()
    assert set(media) == MEDIA_OUT
    assert {name: media[name] for name in ("post_id", "media_type", "content_type", "width", "height", "status")} == {
        "post_id": "post-1",
        "media_type": "video",
        "content_type": "video/mp4",
        "width": 320,
        "height": 240,
        "status": "READY",
    }
    assert media["duration"] == pytest.approx(2, abs=0.1)
    assert media["codec"] == "mpeg4"
    assert media["bitrate"] > 0
    assert media["id"] == media["media_id"]
    assert answers[1].json() == media
    assert http.get(f"{API}/{media['id']}").json() == media
    assert http.get(media["file_path"]).content == video
    problem(http.delete(f"{API}/upload/{upload}"), 409, "conflict")
    assert http.delete(f"{API}/{media['id']}").status_code == 204
    problem(http.get(f"{API}/{media['id']}"), 404, "not-found")


def test_a_picture_is_uploaded_in_one_request(http: httpx.Client) -> None:
    answer = send_whole(http, "in the sun.jpg", samples.jpeg(800, 600), post_id="post-2", media_type="image")
    assert answer.status_code == 200, answer.text
    media = answer.json()
    assert (media["media_type"], media["content_type"], media["status"]) == ("image", "image/jpeg", "READY")
    assert (media["width"], media["height"], media["duration"], media["post_id"]) == (800, 600, None, "post-2")
    thumbnail = http.get(media["thumbnail_url"])
    assert thumbnail.status_code == 200
    assert thumbnail.headers["content-type"] == "image/webp"
    assert size_of(thumbnail.content) == (640, 480)


def size_of(picture: bytes) -> tuple[int, int]:
    import pyvips

    image = pyvips.Image.new_from_buffer(picture, "")
    return image.width, image.height


@pytest.mark.parametrize(
    ("name", "make", "expected"),
    [
        ("recorded.webm", samples.live_webm, {"duration": 2.0, "codec": "vp8", "content_type": "video/webm"}),
        ("upright.mp4", lambda: samples.mp4(turned=90), {"width": 240, "height": 320, "codec": "mpeg4"}),
        ("told.mov", samples.told_mov, {"duration": 1.0, "content_type": "video/quicktime", "media_type": "video"}),
        ("lying.jpg", lambda: samples.jpeg(300, 200, samples.TURNED_RIGHT), {"width": 200, "height": 300}),
        ("dance.gif", lambda: samples.gif(200, 150), {"width": 200, "height": 150, "media_type": "image"}),
        ("dance.webp", lambda: samples.animated_webp(200, 150), {"duration": 1.0, "codec": None, "bitrate": None}),
    ],
)
def test_every_media_type_is_described_in_the_reply(
    http: httpx.Client, name: str, make: Callable[[], bytes], expected: dict[str, Any]
) -> None:
    answer = send_whole(http, name, make())
    assert answer.status_code == 200, answer.text
    media = answer.json()
    assert set(media) == MEDIA_OUT
    assert {key: media[key] for key in expected} == expected
    assert media["status"] == "READY"
    assert (media["bitrate"] or 0) > 0 or media["media_type"] == "image"
    assert http.get(media["file_path"]).content == make()


def test_finalizing_with_a_media_type_that_the_content_contradicts_is_refused(http: httpx.Client) -> None:
    """All chunks are stored; the media type of finalize is compared with the content, and the reply is repeatable."""
    video = samples.mp4(320, 240, 2)
    upload = init_upload(http, video).json()
    for index in range(upload["total_chunks"]):
        assert chunk(http, upload["upload_id"], index, video).status_code == 200
    for _ in range(2):
        answer = http.post(f"{API}/upload/{upload['upload_id']}/finalize", json={"media_type": "image"})
        problem(answer, 422, "file-rejected", rule="media-type", limit="image", actual="video")


def test_form_fields_may_follow_the_file(http: httpx.Client) -> None:
    parts = [("file", ("a.png", samples.png(200, 150))), ("post_id", (None, "late"))]
    media = http.post(f"{API}/upload/simple", files=parts).json()
    assert (media["post_id"], media["content_type"]) == ("late", "image/png")


@pytest.mark.parametrize("field", ["file", "images"])
def test_a_browsers_blob_is_accepted_by_its_type(http: httpx.Client, field: str) -> None:
    path = "simple" if field == "file" else "images"
    sent = {field: ("blob", samples.png(200, 150), "image/png")}
    answer = http.post(f"{API}/upload/{path}", files=sent)
    assert answer.status_code == 200, answer.text
    media = answer.json() if field == "file" else answer.json()[0]
    assert (media["status"], media["content_type"], media["file_name"]) == ("READY", "image/png", "blob")
    wrong = http.post(f"{API}/upload/simple", files={"file": ("blob", samples.text(), "image/png")})
    assert wrong.status_code == 415
    assert (
        http.post(f"{API}/upload/simple", files={"file": ("blob", samples.pdf(), "application/pdf")}).status_code == 415
    )
    video = samples.mp4(320, 240, 2)
    assert init_upload(http, video, "blob").status_code == 200


@pytest.mark.parametrize("where", ["after", "around", "query and after"])
def test_form_fields_may_follow_the_bytes_of_a_chunk(http: httpx.Client, stored_data: StoredData, where: str) -> None:
    video = samples.mp4(320, 240, 2)
    upload = init_upload(http, video, chunk_size=len(video)).json()["upload_id"]
    index = [("chunk_index", (None, "0"))]
    named, part = [("upload_id", (None, upload))], [("chunk", ("blob", video))]
    order = {"after": part + index + named, "around": index + part + named, "query and after": part + index}[where]
    asked = {"upload_id": upload} if where == "query and after" else {}
    before = stored_data.snapshot()
    assert http.post(f"{API}/upload/chunk", files=part + index, params={"upload_id": "none"}).status_code == 404
    assert http.post(f"{API}/upload/chunk", files=part + part + index, params=asked).status_code in (400, 422)
    short = [("chunk", ("blob", video[:-1]))]
    assert http.post(f"{API}/upload/chunk", files=short + index + named).status_code == 400
    huge = [("chunk", ("blob", bytes(65 * MB)))]
    assert http.post(f"{API}/upload/chunk", files=huge + index + named).status_code == 413
    assert not stored_data.added_since(before)
    assert not list((stored_data.home / "scratch").glob("*"))
    answer = http.post(f"{API}/upload/chunk", files=order, params=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "completed"
    media = http.post(f"{API}/upload/{upload}/finalize", json={}).json()
    assert media["status"] == "READY"


@pytest.mark.parametrize(
    ("name", "data", "fields", "status", "rule"),
    [
        ("tiny.png", samples.png(64, 48), {}, 422, "dimensions"),
        ("wide.png", samples.png(4200, 200), {}, 422, "dimensions"),
        ("page.jpg", samples.html(), {}, 415, "type-not-allowed"),
        ("other.png", samples.jpeg(200, 200), {}, 422, "type-mismatch"),
        ("picture.jpg", samples.jpeg(200, 200), {"media_type": "image"}, 200, None),
        ("clip.mp4", samples.truncated(samples.mp4(), 0.4), {}, 422, "media-unreadable"),
        ("short.webm", samples.truncated(samples.live_webm(), 0.3), {}, 422, "duration"),
        ("long.webm", samples.webm(96, 64, 181), {}, 422, "duration"),
        ("wide.mp4", samples.mp4(4112, 32, 1), {}, 422, "dimensions"),
        ("film.mov", samples.video("matroska", "mpeg4"), {}, 415, "type-not-allowed"),
        ("telephone.jpg", samples.heic(200, 200), {}, 415, "type-not-allowed"),
        ("program.gif", samples.gif(200, 150) + samples.archive("META-INF/MANIFEST.MF"), {}, 415, "type-not-allowed"),
        ("sound.mp4", samples.m4a(2), {}, 415, "type-not-allowed"),
    ],
)
def test_content_that_breaks_a_rule_is_rejected(
    http: httpx.Client, name: str, data: bytes, fields: dict[str, str], status: int, rule: str | None
) -> None:
    answer = send_whole(http, name, data, **fields)
    if rule is None:
        assert answer.status_code == status, answer.text
        return
    slug = "unsupported-media-type" if status == 415 else "file-rejected"
    document = problem(answer, status, slug, rule=rule)
    record = http.get(f"/files/{document['media_id']}/").json()
    assert (record["status"], record["rejection"]["rule"]) == ("REJECTED", rule)
    assert (document["limit"], document["actual"]) == (record["rejection"]["limit"], record["rejection"]["actual"])
    problem(http.get(f"/files/{document['media_id']}/download/"), 403, "file-refused")


def test_a_wrong_media_type_is_refused_by_name_or_by_content(http: httpx.Client) -> None:
    """By the name at once; by the content once it is known, if name and type do not contradict it."""
    problem(send_whole(http, "a.jpg", samples.jpeg(200, 200), media_type="video"), 422, "invalid-field")
    problem(send_whole(http, "a.jpg", samples.jpeg(200, 200), media_type="song"), 422, "invalid-field")
    late = [("file", ("a.jpg", samples.jpeg(200, 200))), ("media_type", (None, "video"))]
    problem(http.post(f"{API}/upload/simple", files=late), 422, "file-rejected", rule="media-type")


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"content_type": "application/pdf"}, 415, "unsupported-media-type"),
        ({"content_type": "video/x-matroska"}, 415, "unsupported-media-type"),
        ({"file_name": "clip.exe"}, 415, "unsupported-media-type"),
        ({"file_name": "clip"}, 415, "unsupported-media-type"),
        ({"file_name": "clip.jpg"}, 422, "invalid-field"),
        ({"media_type": "image"}, 422, "invalid-field"),
        ({"file_size": 500 * MB + 1}, 413, "file-too-large"),
        ({"file_size": 20 * MB + 1, "file_name": "a.jpg", "content_type": "image/jpeg"}, 413, "file-too-large"),
        ({"file_size": -1}, 422, "invalid-field"),
        ({"file_size": "5"}, 422, "invalid-field"),
        ({"content_type": None}, 422, "invalid-field"),
        ({"post_id": "a\0"}, 422, "invalid-field"),
    ],
)
def test_init_fields_that_break_a_rule_are_refused(
    http: httpx.Client, stored_data: StoredData, change: dict[str, Any], status: int, slug: str
) -> None:
    before = stored_data.snapshot()
    asked = {"file_name": "clip.mp4", "file_size": 1000, "content_type": "video/mp4"} | change
    problem(http.post(f"{API}/upload/init", json=asked), status, slug)
    assert not stored_data.added_since(before)
    assert http.post(f"{API}/upload/init", json=asked | {"content_type": 5}).status_code == 422


def test_files_above_the_limit_of_one_request_are_refused(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    problem(send_whole(http, "a.mp4", bytes(51 * MB)), 413, "file-too-large", limit=50 * MB)
    problem(send_whole(http, "a.jpg", bytes(21 * MB)), 413, "file-too-large", limit=20 * MB)
    assert not stored_data.added_since(before)


def test_each_picture_of_a_form_succeeds_or_fails_by_itself(http: httpx.Client) -> None:
    parts = [
        ("images", ("one.jpg", samples.jpeg(200, 200))),
        ("files", ("two.jpg", samples.html())),
        ("files[]", ("three.png", samples.png(200, 150))),
        ("images", ("four.mp4", samples.mp4())),
        ("post_id", (None, "album")),
    ]
    answer = http.post(f"{API}/upload/images", files=parts)
    assert answer.status_code == 200, answer.text
    one, two, three, four = answer.json()
    assert (one["file_name"], one["post_id"], three["file_name"]) == ("one.jpg", "album", "three.png")
    assert one["thumbnail_url"]
    assert (two["error"]["status"], two["error"]["rule"]) == (415, "type-not-allowed")
    assert four["error"]["status"] == 422
    bad = http.post(f"{API}/upload/images", files=parts[1:2])
    assert len(problem(bad, 422, "invalid-field")["errors"]) == 1


def test_eleven_pictures_are_too_many(http: httpx.Client, stored_data: StoredData) -> None:
    before = stored_data.snapshot()
    parts = [("images", (f"{n}.jpg", samples.jpeg(200, 200))) for n in range(11)]
    problem(http.post(f"{API}/upload/images", files=parts), 422, "invalid-field", limit=10)
    assert not stored_data.added_since(before)


def test_invalid_forms_store_nothing(http: httpx.Client, stored_data: StoredData) -> None:
    video = samples.mp4(320, 240, 2)
    upload = init_upload(http, video).json()["upload_id"]
    before = stored_data.snapshot()
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    url = f"{API}/upload/chunk"
    broken = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + samples.jpeg(200, 200)
    fields = {"upload_id": upload, "chunk_index": "0"}
    for answer, status, slug in (
        (http.post(url, json={}), 415, "unsupported-media-type"),
        (http.post(url, content=b"--x--\r\n", headers=head), 422, "invalid-field"),
        (http.post(url, data=fields, files={"other": b"x"}), 422, "invalid-field"),
        (http.post(url, data={"upload_id": upload}, files={"chunk": b"x"}), 422, "invalid-field"),
        (http.post(url, data=fields | {"chunk_index": "one"}, files={"chunk": b"x"}), 422, "invalid-field"),
        (http.post(url, data=fields | {"chunk_index": "-1"}, files={"chunk": b"x"}), 400, "bad-request"),
        (http.post(url, data=fields | {"chunk_index": "99999"}, files={"chunk": b"x"}), 400, "bad-request"),
        (http.post(url, data=fields, files={"chunk": b"x"}), 400, "bad-request"),
        (http.post(url, data=fields | {"upload_id": "nothing"}, files={"chunk": b"x"}), 404, "not-found"),
        (http.post(f"{API}/upload/simple", content=broken, headers=head), 400, "bad-request"),
        (http.post(f"{API}/upload/simple", data={"post_id": "1"}, files={}), 415, "unsupported-media-type"),
        (http.post(f"{API}/upload/images", content=broken, headers=head), 400, "bad-request"),
        (http.post(f"{API}/upload/{upload}/finalize", content=b"{"), 400, "bad-request"),
        (http.post(f"{API}/upload/{upload}/finalize", json={"media_type": 5}), 422, "invalid-field"),
        (http.get(f"{API}/upload/nothing/status"), 404, "not-found"),
        (http.get(f"{API}/nothing"), 404, "not-found"),
    ):
        problem(answer, status, slug)
    assert http.get(f"{API}/upload/{upload}/status").json()["received_chunks"] == []
    assert not stored_data.added_since(before)


def test_cancelling_deletes_the_bytes_and_is_repeatable(http: httpx.Client, stored_data: StoredData) -> None:
    video = samples.mp4(320, 240, 2)
    upload = init_upload(http, video).json()["upload_id"]
    assert chunk(http, upload, 0, video).status_code == 200
    for _ in range(2):
        assert http.delete(f"{API}/upload/{upload}").status_code == 204
    assert http.get(f"{API}/upload/{upload}/status").json()["status"] == "cancelled"
    assert not stored_data.object_path(upload).exists()
    problem(chunk(http, upload, 1, video), 410, "upload-gone")
    problem(http.post(f"{API}/upload/{upload}/finalize"), 410, "upload-gone")


def test_publishing_a_post_releases_its_files(http: httpx.Client, stored_data: StoredData) -> None:
    # Sizes of its own: content that another test has sent would stay with that file.
    first, second = (send_whole(http, "a.jpg", samples.jpeg(203, n), post_id="out").json() for n in (207, 211))
    other = send_whole(http, "a.jpg", samples.jpeg(200, 220), post_id="not yet").json()
    url = f"{API}/posts/out/published"
    assert http.post(url, json={"success": False}).json() == {"released": 0, "bytes_freed": 0}
    problem(http.post(url, json={}), 422, "invalid-field")
    document = http.post(url, json={"success": True}).json()
    assert document["released"] == 2
    assert document["bytes_freed"] > first["file_size"] + second["file_size"]
    assert http.post(url, json={"success": True}).json() == {"released": 0, "bytes_freed": 0}
    released = http.get(f"{API}/{first['id']}").json()
    assert (released["status"], released["thumbnail_url"], released["width"]) == ("RELEASED", None, 203)
    problem(http.get(first["file_path"]), 410, "file-released")
    assert http.get(other["file_path"]).status_code == 200


def test_supported_formats_lists_types_and_limits(http: httpx.Client) -> None:
    document = http.get(f"{API}/supported-formats").json()
    assert set(document) == {"video", "image", "chunk_size", "max_images"}
    assert document["video"]["max_size"] == 500 * MB
    assert (document["video"]["min_duration"], document["video"]["max_duration"]) == (1, 180)
    assert (document["image"]["min_width"], document["image"]["max_height"]) == (100, 4096)
    assert set(document["image"]["content_types"]) == {"image/jpeg", "image/png", "image/webp", "image/gif"}
    assert set(document["video"]["extensions"]) == {"mp4", "mov", "webm"}
    listed = {profile["name"]: profile for profile in http.get("/profiles/").json()["results"]}
    assert listed["media"]["max_size"] == 500 * MB


def test_files_of_other_profiles_are_not_found(http: httpx.Client) -> None:
    record = http.post("/files/", files={"file": ("a.txt", b"no picture")}).json()
    problem(http.get(f"{API}/{record['id']}"), 404, "not-found")
    problem(http.delete(f"{API}/{record['id']}"), 404, "not-found")


def test_every_dialect_enforces_the_rules_of_the_media_profile(http: httpx.Client) -> None:
    refused = http.post("/files/?profile=media&filename=a.pdf", content=b"x")
    problem(refused, 415, "unsupported-media-type")
    small = http.post("/files/?profile=media&filename=a.png", content=samples.png(64, 48)).json()
    record = wait_until_processed(http, small["id"])
    assert (record["status"], record["rejection"]["rule"]) == ("REJECTED", "dimensions")


def test_settings_change_rules_waiting_and_credentials(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """Shorter videos, no waiting, and credentials."""
    profiles = tmp_path / "profiles.toml"
    profiles.write_text("[media.media_types.video]\nmax_duration = 1.5\n")
    server = make_server(
        WINDLASS_PROFILES=str(profiles),
        MEDIA_WAIT_SECONDS="0",
        AUTH_MODE="required",
        UPLOAD_TTL_HOURS="0.0005",
        SWEEP_SECONDS="600",
    )
    tokens = [server.command("token", "create", "--user", name).stdout.strip() for name in ("one", "two")]
    staff = server.command("token", "create", "--user", "boss", "--staff").stdout.strip()
    one, two, boss = (connect(server, headers={"Authorization": f"Bearer {t}"}) for t in (*tokens, staff))
    with one, two, boss, connect(server) as nobody:
        media = send_whole(one, "a.mp4", samples.mp4(320, 240, 2), post_id="p").json()
        assert media["status"] == "PROCESSING"
        record = wait_until_processed(one, media["id"])
        assert (record["rejection"]["rule"], record["rejection"]["limit"]) == ("duration", 1.5)
        assert one.get(f"{API}/{media['id']}").json()["status"] == "REJECTED"
        problem(two.get(f"{API}/{media['id']}"), 404, "not-found")
        problem(two.delete(f"{API}/{media['id']}"), 404, "not-found")
        assert two.post(f"{API}/posts/p/published", json={"success": True}).json()["released"] == 0
        problem(nobody.get(f"{API}/supported-formats"), 401, "unauthenticated")
        problem(send_whole(nobody, "a.mp4", b"x"), 401, "unauthenticated")
        upload = init_upload(one, os.urandom(9000)).json()["upload_id"]
        problem(two.get(f"{API}/upload/{upload}/status"), 404, "not-found")
        problem(one.post(f"{API}/cleanup/expired"), 403, "forbidden")
        place = StoredData(server).object_path(upload)
        assert place.exists()
        eventually(lambda: one.get(f"{API}/upload/{upload}/status").json()["status"] == "expired")
        assert boss.post(f"{API}/cleanup/expired").json()["sessions_expired"] == 1
        assert not place.exists()
        problem(one.post(f"{API}/upload/{upload}/finalize", json={}), 410, "upload-gone")
