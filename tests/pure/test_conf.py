"""Settings: where they are read from, what is refused, and that the error says what to do."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from windlass import conf
from windlass.conf import MB, BadSetting, Settings, loading
from windlass.conf.embeddings import check_embeddings
from windlass.conf.private_files import close_home, open_to_others
from windlass.conf.reader import read


def settings(given: dict[str, Any] | None = None, **environment: str) -> Settings:
    return read(Settings, given or {}, environment)


def test_defaults_need_no_environment() -> None:
    configured = settings()
    assert configured.worker_concurrency == 2
    assert configured.upload_limit == 5 * 1024 * MB
    assert not configured.credentials_required


def test_a_setting_is_read_under_its_own_name_and_under_the_prefix() -> None:
    assert settings(WORKER_CONCURRENCY="3").worker_concurrency == 3
    assert settings(WINDLASS_WORKER_CONCURRENCY="4").worker_concurrency == 4
    both = settings(WORKER_CONCURRENCY="3", WINDLASS_WORKER_CONCURRENCY="4")
    assert both.worker_concurrency == 4, "the prefixed name takes precedence"


def test_a_setting_named_for_windlass_has_no_second_prefix() -> None:
    assert settings(WINDLASS_HOME="/srv/files").windlass_home == Path("/srv/files")


def test_while_settings_are_loaded_again_other_threads_have_those_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that found none would load them, too, and could keep what it had read before a later change."""
    before, seen = conf.get(), []
    read_settings = loading.load

    def load() -> Settings:
        if not seen:
            seen.append(None)
            seen.append(conf.get())
        return read_settings()

    monkeypatch.setattr(loading, "load", load)
    assert conf.reload() is not before
    assert seen[1] is before


def test_an_empty_value_counts_as_not_set() -> None:
    assert settings(WORKER_CONCURRENCY="").worker_concurrency == 2


def test_a_value_may_be_read_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("hush\n")
    assert settings(SECRET_KEY_FILE=str(secret)).secret_key == "hush"
    assert settings(WINDLASS_SECRET_KEY_FILE=str(secret)).secret_key == "hush"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"SECRET_KEY_FILE names .*absent.*No such file"):
        settings(SECRET_KEY_FILE=str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("WINDLASS_WORKER_CONCURENCY", "WINDLASS_WORKER_CONCURRENCY"), ("WINDLASS_HOM", "WINDLASS_HOME")],
)
def test_an_unknown_windlass_name_suggests_the_nearest(name: str, suggestion: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} is not a setting.*Did you mean {suggestion}\\?"):
        settings(**{name: "x"})


def test_other_environment_variables_are_ignored() -> None:
    assert settings(HOSTNAME="box", DJANGO_SETTINGS_MODULE="windlass.settings") == settings()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("WORKER_CONCURRENCY", "many", "must be a int"),
        ("WORKER_CONCURRENCY", "0", "must be greater than 0"),
        ("MAX_UPLOAD_SIZE", "-1", "must not be negative"),
        ("DEBUG", "perhaps", "must be true or false"),
        ("DURABILITY", "mostly", "must be one of strict, complete, os"),
        ("STORAGE_BACKEND", "tape", "must be one of local"),
    ],
)
def test_an_invalid_value_is_refused_with_its_name_and_the_reason(name: str, value: str, reason: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} is .*{value}.*{reason}"):
        settings(**{name: value})


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("on", True), ("FALSE", False), ("off", False)]
)
def test_booleans_are_parsed(text: str, value: bool) -> None:
    assert settings(DEBUG=text).debug is value


def test_choices_do_not_depend_on_case() -> None:
    assert settings(DURABILITY="OS").durability == "os"


def test_lists_are_separated_by_commas() -> None:
    assert settings(ALLOWED_MIME_TYPES=" image/*, ,application/pdf ").allowed_mime_types == (
        "image/*",
        "application/pdf",
    )


def test_an_optional_path_is_converted_to_a_path() -> None:
    assert settings().media_root is None
    configured = settings(MEDIA_ROOT="/srv/media")
    assert configured.media_root == Path("/srv/media")
    assert configured.media_directory == Path("/srv/media")


def test_a_limit_in_bytes_overrides_one_in_megabytes() -> None:
    assert settings(MAX_FILE_SIZE_MB="3").upload_limit == 3 * MB
    assert settings(MAX_FILE_SIZE_MB="3", MAX_UPLOAD_SIZE="10").upload_limit == 10


def test_a_projects_values_override_the_environment_and_keep_their_types() -> None:
    configured = settings({"WORKER_CONCURRENCY": 7, "ALLOWED_MIME_TYPES": ("text/plain",)}, WORKER_CONCURRENCY="3")
    assert configured.worker_concurrency == 7
    assert configured.allowed_mime_types == ("text/plain",)


def test_another_projects_text_is_converted_and_checked() -> None:
    assert settings({"WORKER_CONCURRENCY": "7"}).worker_concurrency == 7
    with pytest.raises(BadSetting, match="greater than 0"):
        settings({"WORKER_CONCURRENCY": 0})


def test_another_projects_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BadSetting, match=r"DURABLITY is not a setting.*Did you mean DURABILITY\?"):
        settings({"DURABLITY": "os"})


class TestSecretKey:
    @pytest.mark.parametrize("key", ["short", "x" * 31, "a" * 64, "abab" * 16, "django-insecure-" + "0123456789" * 5])
    def test_a_weak_secret_key_is_refused_without_its_value(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from windlass.conf.loading import load

        monkeypatch.setenv("SECRET_KEY", key)
        with pytest.raises(BadSetting, match=r"SECRET_KEY (has|is)") as caught:
            load()
        assert key not in str(caught.value)

    def test_a_valid_secret_key_is_accepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from windlass.conf.loading import load

        monkeypatch.setenv("SECRET_KEY", "0123456789abcdef" * 2)
        assert load().secret_key == "0123456789abcdef" * 2

    def test_hsts_for_subdomains_needs_hsts_seconds(self) -> None:
        with pytest.raises(BadSetting, match="HSTS_SECONDS"):
            settings(HSTS_INCLUDE_SUBDOMAINS="true")


class TestPrivateFiles:
    """In an existing directory, with the permissions of the usual umask."""

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        home = tmp_path / "home"
        home.mkdir()
        home.chmod(0o755)
        (home / "secret-key").write_text("k" * 10)
        (home / "secret-key").chmod(0o644)
        return home

    @pytest.mark.parametrize(("sendfile", "mode"), [("off", 0o700), ("x-accel-redirect", 0o711)])
    def test_others_cannot_read_the_home(self, home: Path, sendfile: str, mode: int) -> None:
        close_home(settings(WINDLASS_HOME=str(home), SENDFILE=sendfile))
        assert stat.S_IMODE(home.stat().st_mode) == mode
        assert stat.S_IMODE((home / "secret-key").stat().st_mode) == 0o600
        assert not open_to_others(home)

    def test_a_shared_directory_is_not_changed(self, home: Path) -> None:
        home.chmod(0o1777)
        close_home(settings(WINDLASS_HOME=str(home)))
        assert stat.S_IMODE(home.stat().st_mode) == 0o1777
        assert open_to_others(home)

    def test_a_missing_home_is_not_created(self, tmp_path: Path) -> None:
        close_home(settings(WINDLASS_HOME=str(tmp_path / "absent")))
        assert not (tmp_path / "absent").exists()


def test_a_local_model_has_all_of_its_files(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="EMBEDDINGS_MODEL"):
        check_embeddings(Settings(embeddings="local"))
    with pytest.raises(BadSetting, match="neither such a directory nor such a package"):
        check_embeddings(Settings(embeddings="local", embeddings_model="no_such_package"))
    local = Settings(embeddings="local", embeddings_model=str(tmp_path))
    with pytest.raises(BadSetting, match=r"lacks model\.onnx and tokenizer\.json"):
        check_embeddings(local)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").touch()
    with pytest.raises(BadSetting, match=r"lacks tokenizer\.json"):
        check_embeddings(local)
    (tmp_path / "tokenizer.json").touch()
    check_embeddings(local)
    with pytest.raises(BadSetting, match="EMBEDDINGS_PREVIOUS_MODEL is 'gone'"):
        check_embeddings(Settings(embeddings="local", embeddings_model=str(tmp_path), embeddings_previous_model="gone"))


def test_an_endpoint_of_a_model_needs_its_url_and_the_name_of_the_model() -> None:
    with pytest.raises(BadSetting, match="EMBEDDINGS_URL"):
        check_embeddings(Settings(embeddings="http", embeddings_model="small"))
    check_embeddings(Settings(embeddings="http", embeddings_model="small", embeddings_url="http://localhost/v1"))
