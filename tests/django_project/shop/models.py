from django.db import models

from windlass.django.fields import FileAssetField


class Product(models.Model):
    name = models.CharField(max_length=100)
    photo = FileAssetField(profile="pictures")
    manual = FileAssetField(must_be_ready=False)

    def __str__(self) -> str:
        return self.name


class Contract(models.Model):
    """Its file may not be deleted."""

    file = FileAssetField(on_delete=models.PROTECT)

    def __str__(self) -> str:
        return f"contract {self.pk}"


class Note(models.Model):
    """Goes with its file."""

    file = FileAssetField(on_delete=models.CASCADE)

    def __str__(self) -> str:
        return f"note {self.pk}"
