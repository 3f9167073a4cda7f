from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render

from gallery.forms import PictureForm, PicturesForm
from gallery.models import Picture


@login_required
def pictures(request):
    own = Picture.objects.filter(author=request.user).order_by("-id")
    shown = own.select_related("file").prefetch_related("file__renditions")[:100]
    return render(request, "gallery/pictures.html", {"pictures": shown})


@login_required
def add_picture(request):
    form = PictureForm(request.POST or None, request.FILES or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        form.instance.author = request.user
        form.save()
        return redirect("pictures")
    return render(request, "gallery/add_picture.html", {"form": form})


@login_required
def add_pictures(request):
    form = PicturesForm(request.POST or None, request.FILES or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        for file in form.cleaned_data["files"]:
            Picture.objects.create(title=file.original_filename[:100], author=request.user, file=file)
        return redirect("pictures")
    return render(request, "gallery/add_pictures.html", {"form": form})
