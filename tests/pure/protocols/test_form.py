"""The multipart form: events that do not depend on how the network cut the body, and the rules of its fields."""

from __future__ import annotations

import contextlib
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.problem_types import BadRequest, BodyTooLarge, InvalidField, UnsupportedMediaType
from windlass.protocols.form_fields import MAX_ALL_FIELDS_BYTES, MAX_FIELD_BYTES, FieldCollector, FormFields, LateFields
from windlass.protocols.form_parser import (
    MAX_HEAD_BYTES,
    MAX_PARTS,
    FormEvent,
    FormParser,
    PartBegan,
    PartData,
    PartEnded,
    parser_of,
)
from windlass.protocols.intents import Description, Head

TYPE = "multipart/form-data; boundary=AaB"


def part(disposition: str, body: bytes = b"", *more: str) -> bytes:
    headers = "\r\n".join((f"Content-Disposition: form-data; {disposition}", *more))
    return b"--AaB\r\n" + headers.encode() + b"\r\n\r\n" + body + b"\r\n"


def field(name: str, value: bytes | str) -> bytes:
    return part(f'name="{name}"', value.encode() if isinstance(value, str) else value)


def file(name: str = "a.txt", body: bytes = b"bytes", *more: str) -> bytes:
    return part(f'name="file"; filename="{name}"', body, *more)


END = b"--AaB--\r\n"


def events(*pieces: bytes) -> list[FormEvent]:
    """What the pieces give, with neighbouring data joined."""
    parser = FormParser(TYPE)
    found: list[FormEvent] = []
    for piece in pieces:
        for event in parser.feed(piece):
            if isinstance(event, PartData) and isinstance(last := found[-1], PartData):
                found[-1] = PartData(memoryview(bytes(last.data) + bytes(event.data)))
            else:
                found.append(event)
    parser.finish()
    return found


def began(*pieces: bytes) -> PartBegan:
    first = events(*pieces)[0]
    assert isinstance(first, PartBegan)
    return first


# The stream


def test_a_form_is_a_sequence_of_part_events() -> None:
    assert events(field("profile", "media"), file("a.txt", b"x\r\n--Aa\r\ny", "content-type: text/plain"), END) == [
        PartBegan("profile", None, None),
        PartData(memoryview(b"media")),
        PartEnded(),
        PartBegan("file", "a.txt", "text/plain"),
        PartData(memoryview(b"x\r\n--Aa\r\ny")),
        PartEnded(),
    ]


def test_bytes_of_a_file_are_not_copied() -> None:
    body = part('name="file"; filename="a"', b"x" * 1000)
    views = [event.data for event in FormParser(TYPE).feed(body) if isinstance(event, PartData)]
    assert all(view.obj is body for view in views)
    assert sum(map(len, views)) == 1000


def test_an_empty_file_is_a_file_and_an_empty_file_input_is_ignored() -> None:
    assert events(file("a.txt", b""), END) == [PartBegan("file", "a.txt", None), PartEnded()]
    assert events(file("", b""), END) == []
    assert events(file("", b"x"), END) == [PartBegan("file", "", None), PartData(memoryview(b"x")), PartEnded()]
    assert events(file("", b""), field("a", ""), END) == [PartBegan("a", None, None), PartEnded()]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('name="f"; filename="a;b.txt"', "a;b.txt"),
        (r'name="f"; filename="say \"hi\".txt"', 'say "hi".txt'),
        ('filename=a.txt; name="f"', "a.txt"),
        ('name="f"; filename="naïve.txt"', "naïve.txt"),
        ('name="f"; filename="no"; filename*=utf-8\'\'na%C3%AFve.txt', "naïve.txt"),
        (r'name="f"; filename="C:\Users\me\a.txt"', r"C:\Users\me\a.txt"),
        ("filename=\"a.txt\"; name*=utf-8''f", "a.txt"),
    ],
)
def test_filenames_of_every_client_are_decoded(disposition: str, name: str) -> None:
    found = began(part(disposition, b"x"), END)
    assert (found.name, found.filename) == ("f", name)


def test_preamble_epilogue_and_padding_are_ignored() -> None:
    assert events(b"\r\n", b"\r\n" + field("a", "b"), END, b"epilogue --AaB\r\n") == events(field("a", "b"), END)
    assert events(END) == []
    padded = field("c", "d").replace(b"--AaB", b"--AaB \t", 1)
    assert events(field("a", "b"), padded, END) == events(field("a", "b"), field("c", "d"), END)


DELIMITER = re.compile(rb"\r\n--AaB(--|\r\n|[ \t])")
DISPOSITIONS = ['name="a"', 'name="f"; filename="x.bin"', 'name="f"; filename=""', "name=b; filename*=utf-8''y"]
SHARDS = [b"\r", b"\n", b"-", b"--AaB", b"\r\n--Aa", b"\r\n--AaBx", b"\r\n--AaB-", b"\r\n--AaB\rx", b"data"]
#: Bytes that look like a delimiter at every turn and are none.
DATA = st.lists(st.sampled_from(SHARDS), max_size=8).map(b"".join).filter(lambda d: not DELIMITER.search(d + b"\r\n"))
PARTS = st.lists(st.tuples(st.sampled_from(DISPOSITIONS), DATA), max_size=4)


@pytest.mark.parametrize("near", [b"\r\n--AaBx", b"\r\n--AaB-", b"\r\n--AaB" + b" " * 65 + b"\r\n", b"\r\n--AaB \n"])
def test_a_body_of_near_boundaries_is_one_event(near: bytes) -> None:
    body = near * 20_000
    parser = FormParser(TYPE)
    found = [event.data for event in parser.feed(file("a", body) + END) if isinstance(event, PartData)]
    assert [bytes(data) for data in found] == [body]


@given(PARTS, st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_a_body_gives_the_same_events(parts: list[tuple[str, bytes]], cuts: list[int]) -> None:
    """Invariant: how the network cut the body cannot be seen in what was received; byte by byte too."""
    body = b"".join(part(*each) for each in parts) + END
    edges = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    pieces = [body[a:b] for a, b in itertools.pairwise(edges)]
    whole = events(body)
    assert events(*pieces) == whole
    assert events(*(body[i : i + 1] for i in range(len(body)))) == whole
    sent = [data for disposition, data in parts if data or 'filename=""' not in disposition]
    assert len([event for event in whole if isinstance(event, PartEnded)]) == len(sent)
    assert b"".join(event.data for event in whole if isinstance(event, PartData)) == b"".join(sent)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([field("a", "b"), file(), END, b"--AaB\r\n", b"a: b\r\n"])))
def test_any_body_is_events_or_a_client_error(pieces: list[bytes]) -> None:
    """Invariant: a hostile body is understood or refused with a 4xx."""
    fields = FormFields({})
    parser = FormParser(TYPE)
    with contextlib.suppress(BadRequest, BodyTooLarge):
        for piece in pieces:
            for event in parser.feed(piece):
                fields.take(event)
        parser.finish()
        fields.finish()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not a form", "does not begin with the boundary"),
        (b"--other\r\n", "does not begin with the boundary"),
        (b"--AaB\r\nno colon\r\n\r\n", "part 1.*malformed"),
        (b"--AaB\r\ncontent-type: text/plain\r\n\r\nx\r\n" + END, "Part 1.*no name"),
        (field("a", "b") + part("form-data") + END, "Part 2.*no name"),
        (file("a", b"eA==", "Content-Transfer-Encoding: base64") + END, "Content-Transfer-Encoding 'base64'"),
        (field("a", "b"), "breaks off"),
        (b"", "breaks off"),
        (file("a" * 5000), "part 1.*too long"),
        (part("name=a", b"", *[f"x-{i}: {'y' * 4000}" for i in range(5)]), str(MAX_HEAD_BYTES)),
        (part("name=a", b"", *[f"x-{i}: y" for i in range(20)]), "part 1.*too many"),
    ],
)
def test_malformed_bodies_are_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        events(body)


def test_the_number_of_parts_is_limited() -> None:
    assert len(events(field("a", "") * MAX_PARTS, END)) == 2 * MAX_PARTS
    with pytest.raises(BodyTooLarge) as caught:
        events(field("a", "") * (MAX_PARTS + 1), END)
    assert caught.value.members["limit"] == MAX_PARTS


@pytest.mark.parametrize("boundary", ["", "; boundary=", '; boundary=""', "; boundary=" + "b" * 201, "; boundary=ü"])
def test_a_form_needs_a_boundary(boundary: str) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        FormParser("multipart/form-data" + boundary)


def test_only_form_data_is_a_form() -> None:
    with pytest.raises(UnsupportedMediaType):
        FormParser("multipart/mixed; boundary=b")
    with pytest.raises(UnsupportedMediaType, match="gzip"):
        parser_of(Head("POST", "/files", {"content-type": TYPE, "content-encoding": "gzip"}))


def test_quoted_boundaries_work() -> None:
    parser = FormParser('Multipart/Form-Data; charset=utf-8; Boundary="a b:c"')
    assert parser.feed(b'--a b:c\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--a b:c--')[0] == PartBegan(
        "x", None, None
    )
    parser.finish()


# The fields


def read(*pieces: bytes, query: dict[str, str] | None = None) -> tuple[FormFields, list[Description]]:
    """The form's fields, and its files as they were described when each began."""
    parser, fields = parser_of(Head("POST", "/files", {"content-type": TYPE})), FormFields(query or {})
    files: list[Description] = []
    for piece in pieces:
        for event in parser.feed(piece):
            mine = fields.take(event)
            if isinstance(event, PartBegan) and not mine:
                files += [fields.description_for(event)]
    parser.finish()
    return fields, files


def test_fields_before_the_bytes_describe_the_file() -> None:
    before = [
        field("profile", "media"),
        field("reference", "r"),
        field("sha256", "AB" * 32),
        field("metadata", '{"a": 1}'),
        field("csrfmiddlewaretoken", "x"),
    ]
    _, files = read(*before, file("C:\\dir\\a.png", b"x", "Content-Type: Image/PNG"), END)
    assert files == [
        Description(
            filename="a.png",
            declared_type="image/png",
            profile="media",
            reference="r",
            sha256="ab" * 32,
            metadata={"a": 1},
        )
    ]


def test_fields_after_the_bytes_are_applied_later() -> None:
    fields, files = read(file(), field("post_id", "p"), field("sha256", "ab" * 32), field("metadata", '{"a": 1}'), END)
    assert files == [Description(filename="a.txt")]
    assert fields.finish() == LateFields(reference="p", sha256="ab" * 32, metadata={"a": 1})


def test_a_form_field_overrides_the_query() -> None:
    query = {"profile": "asked", "reference": "q", "metadata": '{"q": 1}'}
    _, [from_query] = read(file(), END, query=query)
    assert (from_query.profile, from_query.reference, from_query.metadata) == ("asked", "q", {"q": 1})
    _, [from_field] = read(field("profile", "named"), field("post_id", "f"), file(), END, query=query)
    assert (from_field.profile, from_field.reference) == ("named", "f")


def test_profile_after_bytes_is_refused_before_its_value_is_read() -> None:
    with pytest.raises(BadRequest, match=r"before the file.*profile="):
        read(file(), b'--AaB\r\nContent-Disposition: form-data; name="profile"\r\n\r\n')


def test_empty_fields_are_ignored() -> None:
    _, files = read(*(field(name, "") for name in ("profile", "reference", "sha256", "metadata")), file(), END)
    assert files == [Description(filename="a.txt")]


@pytest.mark.parametrize(
    "bad", [field("sha256", "zz"), field("metadata", "[]"), field("reference", "a\nb"), field("title", b"\xff")]
)
def test_invalid_values_are_refused_at_once(bad: bytes) -> None:
    with pytest.raises(BadRequest):
        read(bad + b'--AaB\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')


def test_an_invalid_query_is_refused_before_the_body() -> None:
    with pytest.raises(BadRequest, match="sha256"):
        FormFields({"sha256": "zz"})


def test_one_digest_for_several_files_is_refused() -> None:
    digest = field("sha256", "ab" * 32)
    for order in ([digest, file(), file()], [file(), file(), digest], [file(), digest, file()]):
        with pytest.raises(BadRequest, match="several"):
            read(*order, END)


def test_a_form_without_a_file_is_refused_with_the_way_to_send_one() -> None:
    fields, files = read(field("file", "text"), file("", b""), END)
    assert files == []
    with pytest.raises(BadRequest, match="filename"):
        fields.finish()


def test_fields_have_size_limits() -> None:
    read(field("note", "x" * MAX_FIELD_BYTES), file(), END)
    with pytest.raises(BodyTooLarge, match="part with a filename") as caught:
        read(field("note", "x" * (MAX_FIELD_BYTES + 1)), file(), END)
    assert caught.value.members["limit"] == MAX_FIELD_BYTES
    count = MAX_ALL_FIELDS_BYTES // MAX_FIELD_BYTES
    with pytest.raises(BodyTooLarge, match="together"):
        read(*[field(f"note{i}", "x" * MAX_FIELD_BYTES) for i in range(count + 1)], file(), END)


def test_a_field_collector_collects_other_fields() -> None:
    collector = FieldCollector()
    assert [collector.take(event) for event in events(field("chunk_index", "3"), file(), END)] == [True] * 3 + [
        False
    ] * 3
    assert collector.values == {"chunk_index": "3"}


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="a%22b.txt"', 'a"b.txt'),
        ('filename="a%0D%0Ab%0a.txt"', "a\r\nb\n.txt"),
        ('filename="100%.txt"', "100%.txt"),
        ('filename="a%20b%2Fc%25.txt"', "a%20b%2Fc%25.txt"),
        ("filename*=UTF-8''a%2522b.txt", "a%22b.txt"),
        ("filename*=abc.txt", "abc.txt"),
        ('filename*="abc.txt"', "abc.txt"),
        ("filename*=UTF-8''%ff.txt", "UTF-8''%ff.txt"),
        ("filename=plain.txt; filename*=wrong", "plain.txt"),
    ],
)
def test_percent_encoded_filenames_of_browsers_are_decoded(disposition: str, name: str) -> None:
    head = f'--AaB\r\nContent-Disposition: form-data; name="file"; {disposition}\r\n\r\nx\r\n--AaB--\r\n'
    began = next(event for event in events(head.encode()) if isinstance(event, PartBegan))
    assert began.filename == name


def test_percent_encoded_field_names_are_decoded() -> None:
    assert events(field("a%22b", "x"), END)[0] == PartBegan('a"b', None, None)


def typed(content_type: str, value: bytes, name: str = "file") -> bytes:
    head = f'--AaB\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {content_type}\r\n\r\n'
    return head.encode() + value + b"\r\n"


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "text/csv", "application/pdf; a=b"])
def test_a_part_with_a_binary_type_and_no_filename_is_an_unnamed_file(content_type: str) -> None:
    _, files = read(typed(content_type, b"\xff" * 100_000), END)
    assert [file.filename for file in files] == ["unnamed"]


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-8", "application/json", "application/ld+json"])
def test_a_part_with_a_text_type_is_a_field_or_refused_with_the_reason(content_type: str) -> None:
    fields, files = read(typed(content_type, b'{"a": 1}', "metadata"), file(), END)
    assert fields.late.metadata == {"a": 1}
    assert len(files) == 1
    for value in (b"\xff\xfe", b"x" * (MAX_FIELD_BYTES + 1)):
        with pytest.raises(InvalidField, match="Give a file's part a filename"):
            read(typed(content_type, value), END)
