from rest_framework import serializers
from shop.models import Product

from windlass.django.rest_framework import FileAssetField


class ProductSerializer(serializers.ModelSerializer):
    photo = FileAssetField(profile="pictures", allow_null=True, required=False)
    manual = FileAssetField(must_be_ready=False, as_id=True, allow_null=True, required=False)

    class Meta:
        model = Product
        fields = ("name", "photo", "manual")
