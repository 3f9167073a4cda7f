"""The stores file: the keys of a table, their defaults, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from windlass.conf import BadSetting, Settings, default_store, known_stores, named_stores, store_settings
from windlass.conf.reader import read
from windlass.conf.stores import check_stores
from windlass.files.profiles import load_profiles
from windlass.storage.contract import StoreMisconfigured
from windlass.storage.s3.errors import store_error
from windlass.storage.s3.options import Options
from windlass.storage.s3.store import S3Store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(tables: str, **environment: str) -> Settings:
    path = Path(f"stores-{uuid4()}.toml").absolute()  # it is read once a process
    path.write_text(tables)
    found = read(Settings, {}, {"WINDLASS_STORES": str(path), "WINDLASS_HOME": "home", **environment})
    check_stores(found)
    return found


def test_a_table_is_completed_from_the_settings() -> None:
    configured = settings(
        '[cloud]\nstorage_backend = "s3"\naws_storage_bucket_name = "archive"\naws_s3_part_size_mb = 16',
        AWS_ACCESS_KEY_ID="id",
        AWS_SECRET_ACCESS_KEY="hush",
    )
    options = Options.from_settings(named_stores(configured)["cloud"])
    assert (options.bucket, options.access_key, options.secret_key) == ("archive", "id", "hush")
    assert options.part_size == 16 * 1024 * 1024
    assert configured.storage_backend == "local", "the settings themselves stay what they were"
    assert known_stores(configured) == ("local", "cloud")


def test_a_secret_may_be_read_from_a_file() -> None:
    Path("secret").write_text("hush\n")
    configured = settings(
        '[cloud]\nstorage_backend = "s3"\naws_storage_bucket_name = "b"\n'
        'aws_access_key_id = "id"\naws_secret_access_key_file = "secret"'
    )
    assert named_stores(configured)["cloud"].aws_secret_access_key == "hush"


def test_a_relative_path_is_relative_to_the_stores_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = settings('[archive]\nmedia_root = "disk/archive"')
    monkeypatch.chdir("/")
    assert named_stores(configured)["archive"].media_directory == tmp_path / "disk/archive"


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            '[archive]\nmedia_rot = "x"',
            "Store 'archive': media_rot is not a setting of a store. Did you mean media_root?",
        ),
        ("[archive]\nworker_concurrency = 3", "worker_concurrency is not a setting of a store"),
        ('[archive]\nsecret_key_file = "x"', "secret_key_file is not a setting of a store"),
        ('[archive]\nstorage_backend = "ftp"', "storage_backend is 'ftp': it must be one of local, s3"),
        ('[archive]\nstorage_backend = "s3"', "Store 'archive': AWS_STORAGE_BUCKET_NAME is not set"),
        ("[archive]\naws_s3_part_size_mb = 1", "aws_s3_part_size_mb is 1: it must be from 5 to 512"),
        ('[archive]\naws_s3_part_size_mb = "much"', "it must be a int"),
        ('[archive]\nmedia_root = ["a"]', "it must be a text, a number, true or false"),
        ('[archive]\naws_secret_access_key_file = "absent"', "names .*absent, which cannot be read"),
        ('[local]\nmedia_root = "x"', "use another name"),
        ('[s3]\nmedia_root = "x"', "use another name"),
        ('[Archive]\nmedia_root = "x"', "a name is a lower-case letter"),
        ('archive = "x"', "is not a table"),
        ("[archive", "WINDLASS_STORES .*: "),
    ],
)
def test_an_invalid_table_is_refused_with_the_reason(tables: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        settings(tables)


def test_a_missing_stores_file_is_named() -> None:
    with pytest.raises(BadSetting, match=r"WINDLASS_STORES absent\.toml: .*No such file"):
        named_stores(read(Settings, {}, {"WINDLASS_STORES": "absent.toml"}))


BUCKET = 'storage_backend = "s3"\naws_storage_bucket_name = "b"\n'
STORAGE = 'storage_backend = "django"\ndjango_storage = "a.B"\n'


@pytest.mark.parametrize(
    "tables",
    [
        "[one]\n",
        '[one]\nmedia_root = "home/media"',
        '[one]\nmedia_root = "home/media/inside"',
        '[one]\nmedia_root = "home"',
        '[one]\nmedia_root = "a"\n[two]\nmedia_root = "a/../a"',
        f"[one]\n{BUCKET}[two]\n{BUCKET}",
        f'[one]\n{BUCKET}aws_location = "a"\n[two]\n{BUCKET}aws_location = "a/"',
        f'[one]\n{BUCKET}[two]\n{BUCKET}aws_location = "objects/x"',
        f'[one]\n{STORAGE}django_storage_staging = "one"\n[two]\n{STORAGE}django_storage_staging = "two"',
    ],
)
def test_two_stores_in_one_location_are_refused(tables: str) -> None:
    with pytest.raises(BadSetting, match=r"The stores '.*' and '.*' both keep files"):
        settings(tables)


def test_two_stores_with_one_staging_directory_are_refused() -> None:
    """Each would sweep away what the other has on its way."""
    with pytest.raises(BadSetting, match="both stage uploads in one directory"):
        settings(f'[one]\n{STORAGE}[two]\n{STORAGE}django_storage_options = \'{{"location": "x"}}\'')


@pytest.mark.parametrize(
    "tables",
    [
        '[one]\nmedia_root = "a"\n[two]\nmedia_root = "ab"',
        f'[one]\n{STORAGE}[two]\n{STORAGE}django_storage_options = "{{}}"\ndjango_storage_staging = "two"',
        f'[one]\n{BUCKET}[two]\n{BUCKET}aws_location = "x"',
        f'[one]\n{BUCKET}aws_location = "x"\n[two]\n{BUCKET}aws_location = "xy"',
        f'[one]\n{BUCKET}[two]\n{BUCKET}aws_s3_endpoint_url = "https://elsewhere.example.org"',
    ],
)
def test_neighbouring_locations_are_accepted(tables: str) -> None:
    assert set(named_stores(settings(tables))) == {"one", "two"}


def test_the_default_store_may_be_a_named_one() -> None:
    configured = settings('[archive]\nmedia_root = "a"', DEFAULT_STORE="archive")
    assert default_store(configured) == "archive"
    assert load_profiles(configured)["media"].store == "archive"
    with pytest.raises(BadSetting, match=r"DEFAULT_STORE is 'archiv', .*Stores here: .*archive"):
        settings('[archive]\nmedia_root = "a"', DEFAULT_STORE="archiv")


def test_a_profile_names_its_store() -> None:
    Path("profiles.toml").write_text('[films]\nstore = "archive"')
    configured = settings('[archive]\nmedia_root = "a"', WINDLASS_PROFILES="profiles.toml")
    assert load_profiles(configured)["films"].store == "archive"
    assert load_profiles(configured)["default"].store == "local"
    assert "store" not in load_profiles(configured)["films"].document(), "clients are not told where bytes lie"


def test_an_unknown_store_of_a_profile_is_refused() -> None:
    Path("films.toml").write_text('[films]\nstore = "s3"')
    with pytest.raises(BadSetting, match=r"Profile 'films': there is no store 's3'. Stores here: local, archive."):
        load_profiles(settings('[archive]\nmedia_root = "a"', WINDLASS_PROFILES="films.toml"))
    # The other plain back end is one as soon as the settings describe it.
    configured = settings("", WINDLASS_PROFILES="films.toml", AWS_STORAGE_BUCKET_NAME="b")
    assert load_profiles(configured)["films"].store == "s3"


def test_each_store_has_its_own_sendfile_root() -> None:
    configured = settings('[one]\nmedia_root = "a"\n[two]\nmedia_root = "b"\nsendfile_root = "/two"')
    roots = {name: one.sendfile_root for name in ("local", "one", "two") if (one := store_settings(configured, name))}
    assert roots == {"local": "/windlass-media", "one": "", "two": "/two"}


def refused(code: str, said: str, operation: str = "UploadPart", status: int = 400) -> ClientError:
    reply: Any = {"Error": {"Code": code, "Message": said}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(reply, operation)


CHECKSUM, PARTS = "Set AWS_S3_CHECKSUM=md5.", "Set AWS_S3_MAX_PARTS"


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (refused("NotImplemented", "A header you provided implies functionality.", status=501), CHECKSUM),
        (refused("InvalidArgument", "Unsupported header x-amz-checksum-crc32", "PutObject"), CHECKSUM),
        (refused("InvalidRequest", "Checksum algorithm provided is unsupported", "CreateMultipartUpload"), CHECKSUM),
        (refused("InvalidArgument", "Part number must be an integer between 1 and 1000, inclusive"), PARTS),
        (refused("InvalidPartNumber", "The requested partnumber is not satisfiable"), PARTS),
        (refused("TooManyParts", ""), PARTS),
    ],
)
def test_an_s3_feature_that_is_not_supported_names_the_setting(error: ClientError, setting: str) -> None:
    """So that the log, `check`, /readyz and the problem that a client gets all do."""
    found = store_error(error, "objects/a", "crc32")
    assert isinstance(found, StoreMisconfigured)
    assert setting in str(found)


def test_other_s3_errors_are_not_blamed_on_settings() -> None:
    for error, checksum in (
        (refused("BadDigest", "The CRC32 you specified did not match the calculated checksum."), "crc32"),
        (refused("InvalidArgument", "x-amz-checksum-crc32"), "md5"),
        (refused("InvalidArgument", "The upload id is not valid."), "crc32"),
        (refused("NotImplemented", "", "ListParts", 501), "crc32"),
    ):
        assert not isinstance(store_error(error, "objects/a", checksum), StoreMisconfigured)


def test_fewer_parts_are_larger() -> None:
    configured = settings(
        '[cloud]\nstorage_backend = "s3"\naws_storage_bucket_name = "archive"\naws_s3_max_parts = 100',
        AWS_ACCESS_KEY_ID="id",
        AWS_SECRET_ACCESS_KEY="hush",
    )
    store = S3Store(Options.from_settings(named_stores(configured)["cloud"]))
    assert store.capabilities.max_chunks == store.max_parts == 100
    mib = 1024 * 1024
    assert store._options.part_size_for(800 * mib) == 8 * mib
    assert store._options.part_size_for(5 * 1024 * mib) == 52 * mib
    for wrong in ("0", "10001"):
        with pytest.raises(BadSetting, match="1 to 10000"):
            read(Settings, {}, {"AWS_S3_MAX_PARTS": wrong})
