from __future__ import annotations

from django.apps import AppConfig


class WindlassDjangoConfig(AppConfig):
    name = "windlass.django"
    label = "windlass_django"
    verbose_name = "Windlass in this project"
    default_auto_field = "django.db.models.BigAutoField"
