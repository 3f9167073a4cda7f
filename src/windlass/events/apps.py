from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "windlass.events"
    label = "windlass_events"
    verbose_name = "Windlass events"
    default_auto_field = "django.db.models.BigAutoField"
