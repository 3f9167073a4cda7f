"""The encrypting store over others: the conformance suite, and the raw bytes."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract import test_django_store as django_stores
from windlass.kernel import secret_keys
from windlass.storage.conformance import StoreConformance
from windlass.storage.conformance.base import KEY, OTHER, keys, make, pattern, read, through_json, write
from windlass.storage.contract import StoreError
from windlass.storage.encryption import header
from windlass.storage.encryption.header import Keyring
from windlass.storage.encryption.keys import MasterKey
from windlass.storage.encryption.store import EncryptedStore
from windlass.storage.local import LocalStore
from windlass.storage.posix_files import drop_from_page_cache

KEY_ONE, KEY_TWO = bytes(range(32)), bytes(range(32, 64))


def over_local(place: Path) -> EncryptedStore:
    return EncryptedStore(LocalStore(place), Keyring(KEY_ONE))


def over_django(place: django_stores.Place) -> EncryptedStore:
    return EncryptedStore(django_stores.open_store(place), Keyring(KEY_ONE))


def over_local_without_a_key(place: Path) -> EncryptedStore:
    return EncryptedStore(LocalStore(place), Keyring())


class TestOverTheLocalStore(StoreConformance):
    open_store = staticmethod(over_local)


class TestOverADjangoStore(StoreConformance):
    open_store = staticmethod(over_django)

    @pytest.fixture
    def place(self, tmp_path: Path) -> django_stores.Place:
        return django_stores.in_files(tmp_path)


class TestWithoutAKey(StoreConformance):
    """As the local store is when nothing is set."""

    open_store = staticmethod(over_local_without_a_key)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "media"


def under(place: Path, *ring: bytes | None) -> EncryptedStore:
    """The current key, then the old ones."""
    return EncryptedStore(LocalStore(place), Keyring(ring[0], [key for key in ring[1:] if key]))


def raw(place: Path, key: str = KEY) -> bytes:
    return (place / f"{key}.enc").read_bytes()


# What is on the disk


def test_an_encrypted_object_is_a_header_and_random_bytes(place: Path) -> None:
    store = under(place, KEY_ONE)
    make(store, KEY, bytes(100_000))
    make(store, OTHER, bytes(100_000))
    one, two = raw(place), raw(place, OTHER)
    assert len(one) == 100_000 + header.LENGTH
    assert one.startswith(b"WINDLASS\x01")
    assert not (place / KEY).exists()
    blocks = {each[at : at + 16] for each in (one, two) for at in range(header.LENGTH, 100_000, 16)}
    assert len(blocks) == 2 * len(range(header.LENGTH, 100_000, 16)), "no block of either object is like another"


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(0, 2**40))
def test_any_split_of_the_bytes_is_encrypted_equally(cuts: list[int], offset: int) -> None:
    cipher = MasterKey(KEY_ONE).cipher(bytes(24))
    data = pattern(sum(cuts))
    at, pieces = offset, []
    for cut in cuts:
        pieces.append(cipher.at(at).update(data[at - offset : at - offset + cut]))
        at += cut
    assert b"".join(pieces) == cipher.at(offset).update(data)


def test_a_header_lost_in_a_power_cut_is_written_again(place: Path) -> None:
    """It was never synced, and the upload's row was: what is written then counts."""
    store = under(place, KEY_ONE)
    state = through_json(store.create(KEY))
    write(store, KEY, state, 0, b"lost with its header")
    (place / f"{KEY}.enc").write_bytes(b"")
    state = write(store, KEY, state, 0, b"sent once more")
    store.complete(KEY, state, 14)
    assert read(store, KEY) == b"sent once more"


# Keys


def test_keys_can_be_rotated(place: Path) -> None:
    first = under(place, KEY_ONE)
    make(first, KEY, b"under the old key")
    begun = write(first, OTHER, through_json(first.create(OTHER)), 0, b"begun under it")
    store = under(place, KEY_TWO, KEY_ONE)
    assert read(store, KEY) == b"under the old key"
    store.complete(OTHER, write(store, OTHER, begun, 14, b" and finished"), 27)
    assert read(store, OTHER) == b"begun under it and finished"
    make(store, "objects/ab/new", b"under the new one")
    assert raw(place, "objects/ab/new")[16:24] == MasterKey(KEY_TWO).id
    store.check(thorough=True)


@pytest.mark.parametrize("ring", [(None,), (KEY_TWO,), (None, KEY_TWO)])
def test_without_its_key_an_object_is_neither_served_nor_lost(place: Path, ring: tuple[bytes | None, ...]) -> None:
    store = under(place, KEY_ONE)
    make(store, KEY, b"secret")
    begun = write(store, OTHER, through_json(store.create(OTHER)), 0, b"begun")
    lacking = under(place, *ring)
    for call in (lambda: lacking.open(KEY), lambda: lacking.open_writer(OTHER, begun)):
        with pytest.raises(header.KeyMissing, match=MasterKey(KEY_ONE).id.hex()):
            call()
    with pytest.raises(header.KeyMissing):
        lacking.check(thorough=True)
    assert keys(lacking) == {KEY, OTHER}
    assert lacking.info(KEY).size == 6
    assert read(store, KEY) == b"secret"


def test_without_a_key_an_object_in_memory_is_stored_as_its_store_does_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On S3 that is one request; ``create`` would begin a multipart upload."""
    monkeypatch.setattr(LocalStore, "create", None)
    store = EncryptedStore(LocalStore(place), Keyring())
    store.put_whole(KEY, [b"abc"])
    assert read(store, KEY) == b"abc"


def test_the_check_without_a_key_passes_where_nothing_is_encrypted(place: Path) -> None:
    make(under(place, None), KEY, b"plain")
    under(place, None).check(thorough=True)


def test_the_library_is_required_only_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "windlass.storage.encryption.keys")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for name in [name for name in sys.modules if name.startswith("cryptography.")]:
        monkeypatch.setitem(sys.modules, name, None)
    assert not Keyring()
    with pytest.raises(StoreError, match=r"windlass\[encryption\]"):
        Keyring(KEY_ONE)


@pytest.mark.parametrize(
    "text", [secret_keys.generate(), bytes(range(32)).hex(), "_" * 43, f" {secret_keys.generate()}\n", "-_" * 21 + "A="]
)
def test_keys_are_parsed(text: str) -> None:
    assert len(secret_keys.parse(text)) == 32


@pytest.mark.parametrize("text", ["", "short", "0" * 63, "g" * 64, secret_keys.generate() * 2, "ä" * 43])
def test_an_invalid_key_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes") as refusal:
        secret_keys.parse(text)
    assert not text or text not in str(refusal.value)


# Plain and encrypted, side by side


def test_plain_objects_are_readable_whatever_their_bytes(place: Path) -> None:
    """A client may have stored a file that begins as an encrypted object does, or is one."""
    make(under(place, KEY_ONE), KEY, b"x")
    stolen = raw(place)
    plain = under(place, None)
    for number, data in enumerate((b"plain", b"WINDLASS" + bytes(100), stolen)):
        make(plain, f"objects/{number}", data)
        plain.put(f"renditions/{number}", io.BytesIO(data), len(data))
        store = under(place, KEY_ONE)
        assert read(store, f"objects/{number}") == read(store, f"renditions/{number}") == data
        assert store.info(f"objects/{number}").size == len(data)


def test_an_upload_created_without_a_key_is_completed_plain(place: Path) -> None:
    plain = under(place, None)
    state = write(plain, KEY, through_json(plain.create(KEY)), 0, b"begun ")
    make(under(place, KEY_ONE), OTHER, b"of an encrypted one")
    store = under(place, KEY_ONE)
    writer = store.open_writer(KEY, state)
    assert writer.copy(6, OTHER, 3, 16) == 16  # type: ignore[attr-defined]  # as its capability says
    state = through_json(writer.sync())
    writer.close()
    store.complete(KEY, state, 22)
    assert read(store, KEY) == b"begun an encrypted one"
    assert (place / KEY).exists()


@pytest.mark.parametrize(("before", "after"), [(None, KEY_ONE), (KEY_ONE, None)])
def test_replacing_an_object_deletes_its_other_form(place: Path, before: bytes | None, after: bytes | None) -> None:
    under(place, before).put(KEY, io.BytesIO(b"first"), 5)
    store = under(place, after, KEY_ONE)
    store.put(KEY, io.BytesIO(b"second"), 6)
    assert read(store, KEY) == b"second"
    assert [found.key for found in store.objects()] == [KEY]
    assert (place / KEY).exists() == (after is None)
    assert store.delete(KEY) == 6
    assert keys(store) == set()


# What somebody changed on the disk


def test_a_header_of_another_object_is_an_error(place: Path) -> None:
    store = under(place, KEY_ONE)
    make(store, KEY, b"one")
    make(store, OTHER, b"two")
    (place / f"{KEY}.enc").write_bytes(raw(place, OTHER))
    with pytest.raises(header.HeaderDamaged):
        store.open(KEY)


@pytest.mark.parametrize("at", [0, 8, 30, 63])
def test_a_changed_header_is_an_error(place: Path, at: int) -> None:
    store = under(place, KEY_ONE)
    make(store, KEY, b"one")
    changed = bytearray(raw(place))
    changed[at] ^= 1
    (place / f"{KEY}.enc").write_bytes(changed)
    with pytest.raises(header.HeaderDamaged) as told:
        store.open(KEY)
    assert not told.value.transient
    (place / f"{KEY}.enc").write_bytes(raw(place)[:40])
    with pytest.raises(header.HeaderDamaged):
        store.open(KEY)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system has no posix_fadvise")
def test_dropping_the_page_cache_reaches_the_encrypted_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an encrypted object too, which has no descriptor of its own."""
    store, asked = under(place, KEY_ONE), []
    make(store, KEY, pattern(100_000))
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, *_: asked.append(os.fstat(descriptor).st_ino))
    with store.open(KEY) as file:
        drop_from_page_cache(file)
    assert asked == [(place / f"{KEY}.enc").stat().st_ino]
