from django.conf import settings
from django.db import models

from windlass.django.fields import FileAssetField


class Picture(models.Model):
    """A picture of its author, which goes when its file is deleted."""

    title = models.CharField(max_length=100)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    file = FileAssetField(profile="pictures", on_delete=models.CASCADE)

    def __str__(self):
        return self.title
