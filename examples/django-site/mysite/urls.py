from django.contrib import admin
from django.urls import include, path
from gallery import views

urlpatterns = [
    path("", views.pictures, name="pictures"),
    path("add/", views.add_picture, name="add-picture"),
    path("add-several/", views.add_pictures, name="add-pictures"),
    path("admin/", admin.site.urls),
    path("", include("windlass.urls")),
]
