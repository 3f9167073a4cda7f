from django import forms

from gallery.models import Picture
from windlass.django.forms import FileFormMixin


class PictureForm(FileFormMixin, forms.ModelForm):
    class Meta:
        model = Picture
        fields = ("title", "file")
