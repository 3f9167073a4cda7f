from django import forms

from gallery.models import Picture
from windlass.django.forms import FileAssetFormField, FileFormMixin


class PictureForm(FileFormMixin, forms.ModelForm):
    class Meta:
        model = Picture
        fields = ("title", "file")


class PicturesForm(FileFormMixin, forms.Form):
    files = FileAssetFormField(label="Pictures", profile="pictures", multiple=True)
