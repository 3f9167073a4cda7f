from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "windlass.web"
    label = "windlass_web"
