from uuid import UUID

from django.http import HttpRequest
from ninja import NinjaAPI, Schema
from ninja.security import django_auth
from shop.models import Product

from windlass.django.ninja import FileOut, attachable_file

api = NinjaAPI(auth=django_auth, urls_namespace="shop")


class ProductIn(Schema):
    name: str
    photo: UUID


class ProductOut(Schema):
    name: str
    photo: FileOut | None


@api.post("/products", response=ProductOut)
def add_product(request: HttpRequest, body: ProductIn) -> Product:
    photo = attachable_file(request, body.photo, field="photo", profile="pictures")
    return Product.objects.create(name=body.name, photo=photo)
