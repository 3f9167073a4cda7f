from django.apps import AppConfig
from django.core.checks import Tags, register


class EventsConfig(AppConfig):
    name = "windlass.events"
    label = "windlass_events"
    verbose_name = "Windlass events"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Settings have no app of their own; every other app depends on events.
        from windlass.conf.system_checks import check_settings
        from windlass.events.shared_circuits import share_circuits

        register(check_settings, Tags.compatibility)
        share_circuits()
