"""Tell the author by mail when a file was refused: the person may have left the page long before."""

from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.dispatch import receiver

from windlass.django.signals import file_rejected


@receiver(file_rejected)
def tell_owner(sender, file, event, **kwargs):
    owner = get_user_model().objects.filter(pk=event.owner.removeprefix("user:")).first()
    if owner is None or not owner.email or file is None:
        return
    send_mail(f"{file} was refused", event.data["rejection"]["detail"], None, [owner.email])
