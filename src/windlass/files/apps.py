from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db.models.signals import post_migrate

from windlass.conf import BadSetting
from windlass.conf.loading import load


class FilesConfig(AppConfig):
    name = "windlass.files"
    label = "windlass_files"
    verbose_name = "Windlass files"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from windlass.files.name_index import ensure_name_index
        from windlass.files.store_breaker import guard_stores

        post_migrate.connect(ensure_name_index, sender=self)
        register(check_profiles, Tags.compatibility)
        guard_stores()


def check_profiles(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E002 for an invalid profile, such as an unknown key or a malware scan without a scanner."""
    from windlass.files.profiles import load_profiles

    try:
        settings = load()
    except BadSetting:
        return []  # reported as E001
    try:
        load_profiles(settings)
    except BadSetting as error:
        return [Error(str(error), id="windlass.E002")]
    return []
