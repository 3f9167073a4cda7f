from django.contrib import admin
from django.urls import include, path
from shop.api import api

urlpatterns = [
    path("admin/", admin.site.urls),
    path("shop/", api.urls),
    path("", include("windlass.urls")),
]
