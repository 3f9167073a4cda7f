from django.apps import AppConfig


class FilesConfig(AppConfig):
    name = "windlass.files"
    label = "windlass_files"
    verbose_name = "Windlass files"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from windlass.files.system_checks import register_checks

        register_checks()

        from windlass.files.store_breaker import guard_stores

        guard_stores()
