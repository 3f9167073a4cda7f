from django import forms
from shop.models import Contract, Product

from windlass.django.forms import FileAssetFormField, FileFormMixin


class ProductForm(FileFormMixin, forms.ModelForm):
    class Meta:
        model = Product
        fields = ("name", "photo", "manual")


class ContractForm(FileFormMixin, forms.ModelForm):
    class Meta:
        model = Contract
        fields = ("file",)


class FormWithoutUser(forms.ModelForm):
    class Meta:
        model = Contract
        fields = ("file",)


class PicturesForm(FileFormMixin, forms.Form):
    pictures = FileAssetFormField(profile="pictures", multiple=True, required=False)
