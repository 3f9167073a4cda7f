import os
from pathlib import Path

import dj_database_url

import windlass

HOME = Path(os.environ["SHOP_HOME"])
SECRET_KEY = "a key of fifty characters, which is long enough for all"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "urls"
ASGI_APPLICATION = "shop_asgi.application"
USE_TZ = True
INSTALLED_APPS = [
    "shop",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    *windlass.APPS,
    "windlass.django",
    "ninja",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HOME / "shop.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30},
    }
}
if "SHOP_DATABASE" in os.environ:
    DATABASES["default"] = dj_database_url.parse(os.environ["SHOP_DATABASE"])
WINDLASS = {"WINDLASS_HOME": HOME / "windlass", "WINDLASS_PROFILES": Path(__file__).with_name("profiles.toml")}
