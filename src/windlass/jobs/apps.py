from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "windlass.jobs"
    label = "windlass_jobs"
    verbose_name = "Windlass jobs"
    default_auto_field = "django.db.models.BigAutoField"
