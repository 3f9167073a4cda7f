from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "windlass.accounts"
    label = "windlass_accounts"
    verbose_name = "Windlass accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from windlass.accounts import revocation

        revocation.connect()
