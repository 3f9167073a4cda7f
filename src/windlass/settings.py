"""Django settings of the standalone server, all derived from ``windlass.conf``."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url

from windlass.conf.loading import check_secret_key, load
from windlass.conf.private_files import close_home

_conf = load()
close_home(_conf)


def _secret_key(home: Path) -> str:
    """The key in the home directory; created at the first start, readable by its owner only."""
    path = home / "secret-key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written under another name, then linked: if two processes start at once, both use the same key.
        handle, temporary = tempfile.mkstemp(dir=home)
        os.write(handle, secrets.token_urlsafe(50).encode())
        os.close(handle)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(temporary)
    key = path.read_text().strip()
    check_secret_key(key, f"The key in {path}")
    return key


def _database(url: str, home: Path) -> Any:
    database = dj_database_url.parse(url or f"sqlite:///{home / 'windlass.sqlite3'}", conn_max_age=None)
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["ENGINE"] = "windlass.database.sqlite"
        # Decision 0006. FULL: a committed row survives a power cut.
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            # wal_autocheckpoint: 64 MB of 4 KiB pages. It bounds the log where no scheduler runs, which otherwise
            # checkpoints long before (operations.wal_checkpoint).
            # secure_delete: what is deleted is overwritten with zeros. Many builds of SQLite do so by default.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=0; "
            "PRAGMA wal_autocheckpoint=16384; PRAGMA secure_delete=ON;",
        }
    else:
        database["CONN_HEALTH_CHECKS"] = True
    return database


SECRET_KEY = _conf.secret_key or _secret_key(_conf.windlass_home)
SECRET_KEY_FALLBACKS = list(_conf.secret_key_fallbacks)
DEBUG = _conf.debug
ALLOWED_HOSTS = list(_conf.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(_conf.csrf_trusted_origins)
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
ROOT_URLCONF = "windlass.site_urls"
ASGI_APPLICATION = "windlass.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": _database(_conf.database_url, _conf.windlass_home)}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "windlass.events",
    "windlass.accounts",
    "windlass.files",
    "windlass.jobs",
    "windlass.knowledge",
    "windlass.web",
    "windlass.web.ninja_files.NinjaFiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "windlass.web.acting_user.acting_user",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "windlass.http.sign_in_refusals.SignInRefusals",
]
AUTHENTICATION_BACKENDS = [
    "windlass.accounts.password_backend.LimitedSignIn",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
APPEND_SLASH = True
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "windlass.web.static_files.PrefixedStaticFiles"},
}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024  # http.middleware allows no more
# operations.logging configures logging; Django's loggers propagate to it.
LOGGING_CONFIG = None
