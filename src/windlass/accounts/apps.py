from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "windlass.accounts"
    label = "windlass_accounts"
    verbose_name = "Windlass accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.contrib.auth import get_user_model
        from django.db.models.signals import pre_delete

        from windlass.accounts import audited_sign_ins, audited_users, permission_rule, revocation
        from windlass.accounts.tokens import delete_tokens_of_user

        pre_delete.connect(
            delete_tokens_of_user,
            sender=get_user_model(),
            dispatch_uid="windlass.accounts.tokens.delete_tokens_of_user",
        )
        revocation.connect()
        audited_sign_ins.connect()
        audited_users.connect()
        permission_rule.check_rule()
