"""``FileAssetField``: a reference from a model of the project to a file record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models import Field, Model

from windlass.database.connection import alias
from windlass.django.attachment_rules import AttachmentRules
from windlass.files.api import FileAsset, profiles

#: The model that every such field refers to.
FILE_MODEL = "windlass_files.FileAsset"


class FileAssetField(models.ForeignKey):  # type: ignore[type-arg]  # takes no parameter when Django is older
    """A foreign key to a file record (``windlass.files.api.FileAsset``).

    ``profile``: of the files that it accepts, and that forms upload with. ``must_be_ready``: whether files that are
    still being processed are refused. ``on_delete`` says what happens to the referring row when the file's record is
    deleted: SET_NULL by default, so the field is optional unless you choose another. CASCADE deletes the row; PROTECT
    and RESTRICT make Windlass refuse to delete the file, with 409 ``file-in-use``. When only the bytes are released,
    the reference stays.

    There is no constraint in the database: a router may keep the tables of Windlass elsewhere, with DO_NOTHING.
    """

    description = "File of Windlass"

    def __init__(
        self,
        to: Any = FILE_MODEL,
        on_delete: Callable[..., Any] = models.SET_NULL,
        *,
        profile: str = "default",
        must_be_ready: bool = True,
        **options: Any,
    ) -> None:
        self.rules = AttachmentRules(profile, must_be_ready)
        options.setdefault("related_name", "+")
        options.setdefault("db_constraint", False)
        if on_delete is models.SET_NULL:
            options.setdefault("null", True)
            options.setdefault("blank", True)
        super().__init__(to, on_delete, **options)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, options = super().deconstruct()
        if self.rules.profile != "default":
            options["profile"] = self.rules.profile
        if not self.rules.must_be_ready:
            options["must_be_ready"] = False
        return name, path, list(args), options

    def check(self, **options: Any) -> list[CheckMessage]:
        return [*super().check(**options), *self._check_profile(), *self._check_database()]

    def validate(self, value: Any, model_instance: Model | None) -> None:
        """Also check a changed file against the rules. Who attaches it is checked by forms and serializers."""
        super().validate(value, model_instance)
        if value is None or (model_instance is not None and self._is_stored(value, model_instance)):
            return
        file = FileAsset.objects.filter(pk=value).first()
        if file is None:  # deleted since super() looked
            raise ValidationError(f"There is no file {value}.", code="not_found")
        self.rules.check(file)

    def formfield(self, **options: Any) -> Any:
        """A ``FileAssetFormField``. The options of a choice among rows, which Django's admin gives, do not apply."""
        # Forms need the user model, whose own module may be the one that imports this field.
        from windlass.django.forms import FileAssetFormField

        for name in ("using", "queryset", "limit_choices_to", "to_field_name", "blank", "empty_label"):
            options.pop(name, None)
        rules = {"profile": self.rules.profile, "must_be_ready": self.rules.must_be_ready}
        return Field.formfield(self, **{"form_class": FileAssetFormField, **rules, **options})

    def _is_stored(self, value: Any, instance: Model) -> bool:
        """Whether the row has this file already: one that was attached stays acceptable."""
        if instance.pk is None or instance._state.adding:
            return False
        return type(instance)._base_manager.filter(pk=instance.pk, **{self.attname: value}).exists()

    def _check_profile(self) -> list[CheckMessage]:
        if self.rules.profile in profiles():
            return []
        known = ", ".join(sorted(profiles()))
        return [
            Error(
                f"There is no profile {self.rules.profile!r}.", hint=f"There are {known}.", obj=self, id="windlass.E004"
            )
        ]

    def _check_database(self) -> list[CheckMessage]:
        """Where the row is in another database, no transaction that deletes a file can change it."""
        on_delete = self.remote_field.on_delete
        if on_delete is models.DO_NOTHING or router.db_for_write(self.model) == alias():
            return []
        return [
            Error(
                f"{self.model._meta.label} is in another database than Windlass's tables.",
                hint="Set on_delete=models.DO_NOTHING, and react to the signal file_deleted.",
                obj=self,
                id="windlass.E005",
            )
        ]
