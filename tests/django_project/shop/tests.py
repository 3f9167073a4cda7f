"""Tests of ``windlass.django`` and ``windlass.testing``, as a project would write them."""

import io
import json
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.http import QueryDict
from django.template import Context, Template
from django.test import RequestFactory, TestCase, TransactionTestCase, override_settings
from django.utils.datastructures import MultiValueDict
from shop.forms import ContractForm, FormWithoutUser, PicturesForm, ProductForm
from shop.models import Contract, Note, Product
from shop.serializers import ProductSerializer
from shop_asgi import application

from windlass import conf
from windlass.accounts.api import create_token
from windlass.django import signals
from windlass.django.attachment_rules import AttachmentRules
from windlass.django.fields import FileAssetField
from windlass.django.models import SignalCursor
from windlass.files.api import FileAsset, FileStatus
from windlass.kernel.clock import now
from windlass.kernel.problem_types import FileInUse, FileTooLarge
from windlass.processing import api as processing
from windlass.testing import make_file, make_ready_file, run_jobs, send_signals, temporary_storage

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f0005000"
    "1ff56c7d10e0000000049454e44ae426082"
)


class Shop:
    def setUp(self):
        self.storage = self.enterContext(temporary_storage())
        users = get_user_model().objects
        self.ann = users.create_user("ann")
        self.bob = users.create_user("bob")
        self.chief = users.create_superuser("chief")

    def picture(self, user=None, **facts):
        return make_ready_file(PNG, "a.png", user=user or self.ann, profile="pictures", **facts)

    def form(self, data, files=None, *, user=None, instance=None, kind=ProductForm):
        query = QueryDict(mutable=True)
        query.update(data)
        chosen = MultiValueDict({name: [file] for name, file in (files or {}).items()})
        return kind(query, chosen, user=user or self.ann, instance=instance)


class ShopTest(Shop, TestCase):
    """Within a transaction that is never committed."""


class Requests(Shop, TransactionTestCase):
    """Requests to the application close the connections that they used, as those to a server do."""

    def test_a_protected_file_is_not_deleted_by_the_api(self):
        file = make_ready_file(user=self.ann)
        Contract.objects.create(file=file)
        headers = {"Authorization": f"Bearer {create_token('ann')}"}
        with temporary_settings(self.storage, CELERY_TASK_ALWAYS_EAGER=True):
            reply = async_to_sync(send)("DELETE", f"/files/{file.id}/", headers=headers)
        assert (reply.status_code, reply.json()["type"]) == (409, "/problems/file-in-use")

    def test_a_signed_link_needs_no_other_credential(self):
        file = make_ready_file(b"hello", user=self.ann)
        link = (
            Template("{% load windlass %}{% windlass_url file expires_in=60 %}")
            .render(Context({"file": file}))
            .replace("&amp;", "&")
        )
        with temporary_settings(self.storage, CELERY_TASK_ALWAYS_EAGER=True):
            assert async_to_sync(send)("GET", link).content == b"hello"
            assert async_to_sync(send)("GET", link.partition("?")[0]).status_code == 401


class Forms(ShopTest):
    def test_an_uploaded_file_is_attached_by_its_id(self):
        picture = self.picture()
        product = self.form({"name": "lamp", "photo": str(picture.id)}).save()
        assert Product.objects.get(pk=product.pk).photo == picture

    def test_a_form_without_a_script_brings_the_file_with_it(self):
        """It is stored at once. Once it is checked, the form is sent again as the page shows it, without the bytes."""
        form = self.form({"name": "lamp"}, {"photo": SimpleUploadedFile("lamp.png", PNG, "image/png")})
        assert not form.is_valid()
        assert form.errors["photo"] == [
            "“lamp.png” is stored and still being checked. Send the form again in a few seconds."
        ]
        stored = FileAsset.objects.get()
        assert (stored.owner, stored.profile, stored.size) == (f"user:{self.ann.pk}", "pictures", len(PNG))
        page = str(form["photo"])
        assert f'value="{stored.id}"' in page
        assert "lamp.png" in page
        assert run_jobs() > 0
        again = self.form({"name": "lamp", "photo": str(stored.id)})
        assert again.save().photo.mime_type == "image/png"

    def test_a_file_is_stored_once_however_often_the_form_is_validated(self):
        form = self.form({"name": "lamp"}, {"manual": SimpleUploadedFile("m.txt", b"Plug it in.")})
        assert form.is_valid()
        form.full_clean()
        assert form.save().manual == FileAsset.objects.get()

    def test_the_file_of_another_is_refused_like_one_that_does_not_exist(self):
        others = self.picture(self.bob)
        form = self.form({"name": "lamp", "photo": str(others.id)})
        assert form.errors["photo"] == [f"There is no file {others.id}. Choose the file again."]
        assert "a.png" not in str(form["photo"]), "its name is not told"
        assert self.form({"name": "lamp", "photo": "no id"}).errors["photo"] == [
            "There is no file no id. Choose the file again."
        ]
        assert self.form({"name": "lamp", "photo": str(others.id)}, user=self.chief).is_valid()

    def test_the_rule_of_the_project_decides_whose_files_may_be_attached(self):
        others = self.picture(self.bob)
        with temporary_settings(self.storage, PERMISSION_RULE="shop.rules.write_everybodys"):
            assert self.form({"name": "lamp", "photo": str(others.id)}).is_valid()
        with temporary_settings(self.storage, PERMISSION_RULE="shop.rules.only_read"):
            uploaded = SimpleUploadedFile("m.txt", b"Plug it in.")
            form = self.form({"name": "lamp", "photo": str(others.id)}, {"manual": uploaded})
            assert set(form.errors) == {"photo", "manual"}

    def test_a_file_that_the_record_has_stays_valid_whoever_owns_it(self):
        product = Product.objects.create(name="lamp", photo=self.picture(self.bob))
        processing.release(product.photo)
        form = self.form({"name": "lantern", "photo": str(product.photo_id)}, instance=product)
        assert form.is_valid(), form.errors
        assert form.changed_data == ["name"]

    def test_a_file_that_does_not_fit_is_refused_with_the_reason(self):
        wrong = make_ready_file(user=self.ann)
        assert (
            "uploaded for the profile 'default'; this field takes files of 'pictures'"
            in self.form({"name": "x", "photo": str(wrong.id)}).errors["photo"][0]
        )
        refused = self.picture(status=FileStatus.REJECTED)
        FileAsset.objects.filter(pk=refused.pk).update(
            status=FileStatus.REJECTED, rejection={"rule": "type", "detail": "It is a text."}
        )
        assert "was refused: It is a text." in self.form({"name": "x", "photo": str(refused.id)}).errors["photo"][0]
        too_large = self.form({"name": "x"}, {"photo": SimpleUploadedFile("a.png", PNG + bytes(1_000_000))})
        assert "1000000" in too_large.errors["photo"][0]
        assert self.form({"name": "x"}, {"photo": SimpleUploadedFile("a.png", b"")}).errors["photo"] == [
            "The submitted file is empty."
        ]

    def test_a_field_that_need_not_be_ready_takes_a_file_in_process_but_no_refused_one(self):
        file = make_file(b"Plug it in.", "m.txt", user=self.ann)
        assert self.form({"name": "x", "manual": str(file.id)}).save().manual == file
        FileAsset.objects.filter(pk=file.pk).update(status=FileStatus.QUARANTINED)
        assert "malware" in self.form({"name": "x", "manual": str(file.id)}).errors["manual"][0]

    def test_a_file_can_be_removed(self):
        product = Product.objects.create(name="lamp", photo=self.picture())
        form = self.form({"name": "lamp", "photo": str(product.photo_id), "photo-clear": "on"}, instance=product)
        assert form.save().photo is None
        product.refresh_from_db()
        assert product.photo is None

    def test_a_required_file_cannot_be_left_out(self):
        assert self.form({}, kind=ContractForm).errors["file"] == ["This field is required."]
        assert self.form({"file": ""}, kind=ContractForm).errors["file"] == ["This field is required."]

    def test_a_form_that_does_not_know_who_submits_it_takes_no_file(self):
        file = make_ready_file(user=self.ann)
        with self.assertRaisesMessage(ImproperlyConfigured, "user=request.user"):
            FormWithoutUser({"file": str(file.id)}).is_valid()
        form = self.form({"file": str(file.id)}, user=AnonymousUser(), kind=ContractForm)
        assert form.errors["file"] == ["Sign in to attach a file."]

    def test_the_widget_tells_the_script_and_the_browser_the_limits(self):
        page = str(self.form({})["photo"])
        for part in ('data-profile="pictures"', 'data-max-size="1000000"', 'accept="image/*,.png,.jpg"', "976.6 KB"):
            assert part in page, page
        assert 'data-must-be-ready="false"' in str(self.form({})["manual"])
        assert "upload-widget.js" in str(ProductForm(user=self.ann).media)


class Models(ShopTest):
    def test_the_reference_is_cleared_when_the_record_is_deleted_and_stays_when_bytes_are_released(self):
        product = Product.objects.create(name="lamp", photo=self.picture())
        processing.release(product.photo)
        product.refresh_from_db()
        assert product.photo.status == FileStatus.RELEASED
        processing.delete(product.photo)
        product.refresh_from_db()
        assert product.photo is None

    def test_a_protected_file_is_not_deleted(self):
        file = make_ready_file(user=self.ann)
        Contract.objects.create(file=file)
        with self.assertRaisesMessage(FileInUse, "This file is used by 1 contract."):
            processing.delete(file)
        assert FileAsset.objects.filter(pk=file.pk).exists()

    def test_the_sweep_gets_past_a_protected_file(self):
        file, other = make_ready_file(user=self.ann), make_ready_file(user=self.ann)
        Contract.objects.create(file=file)
        FileAsset.objects.update(expires_at=now() - timedelta(hours=1))
        assert processing.apply_retention().deleted == 1
        assert not FileAsset.objects.filter(pk=other.pk).exists()
        assert now() < FileAsset.objects.get(pk=file.pk).expires_at

    def test_a_row_may_go_with_its_file(self):
        note = Note.objects.create(file=make_ready_file(user=self.ann))
        processing.delete(note.file)
        assert not Note.objects.exists()

    def test_a_changed_file_is_validated_and_an_unchanged_one_is_not(self):
        product = Product.objects.create(name="lamp", photo=self.picture())
        FileAsset.objects.update(status=FileStatus.FAILED)
        product.full_clean()
        product.photo = make_ready_file(user=self.ann)
        with self.assertRaisesMessage(ValidationError, "this field takes files of 'pictures'"):
            product.full_clean()

    def test_migrations_are_complete(self):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)
        _, path, _, options = Product._meta.get_field("photo").deconstruct()
        assert path == "windlass.django.fields.FileAssetField"
        assert FileAssetField(**options).rules == Product._meta.get_field("photo").rules

    def test_checks_find_an_unknown_profile_and_another_database(self):
        field = Product._meta.get_field("photo")
        with mock.patch.object(field, "rules", AttachmentRules(profile="picture")):
            assert [problem.id for problem in field.check()] == ["windlass.E004"]
        with override_settings(DATABASE_ROUTERS=["shop.routers.Apart"]):
            assert [problem.id for problem in field.check()] == ["windlass.E005"]
        assert field.check() == []


class SeveralFiles(ShopTest):
    def several(self, ids=(), uploads=(), removed=(), user=None, initial=None):
        query = QueryDict(mutable=True)
        query.setlist("pictures", [str(each) for each in ids])
        query.setlist("pictures-remove", [str(each) for each in removed])
        chosen = MultiValueDict({"pictures-upload": list(uploads)})
        return PicturesForm(query, chosen, user=user or self.ann, initial={"pictures": initial} if initial else None)

    def test_ids_become_a_list_of_files_in_their_order(self):
        first, second = self.picture(), self.picture()
        form = self.several([second.id, first.id, second.id])
        assert form.is_valid(), form.errors
        assert form.cleaned_data["pictures"] == [second, first]
        assert form.has_changed()

    def test_no_file_is_an_empty_list_and_refused_where_one_is_required(self):
        form = self.several()
        assert form.is_valid(), form.errors
        assert form.cleaned_data["pictures"] == []
        form.fields["pictures"].required = True
        form.full_clean()
        assert form.errors["pictures"] == ["This field is required."]

    def test_each_file_that_is_refused_has_its_reason_and_the_others_are_shown_again(self):
        mine, others = self.picture(), self.picture(self.bob)
        rejected = self.picture()
        FileAsset.objects.filter(pk=rejected.pk).update(status=FileStatus.REJECTED)
        form = self.several([mine.id, others.id, rejected.id])
        missing, refused = form.errors["pictures"]
        assert missing == f"There is no file {others.id}. Choose the file again."
        assert refused.startswith("“a.png” was refused: ")
        page = str(form["pictures"])
        assert f'value="{mine.id}"' in page
        assert str(others.id) not in page

    def test_files_of_the_form_are_stored_once_and_shown_again_until_they_are_checked(self):
        uploads = [SimpleUploadedFile(f"{name}.png", PNG, "image/png") for name in "ab"]
        form = self.several(uploads=uploads)
        assert len(form.errors["pictures"]) == 2
        form.full_clean()
        stored = list(FileAsset.objects.order_by("original_filename"))
        assert [file.original_filename for file in stored] == ["a.png", "b.png"]
        page = str(form["pictures"])
        assert all(f'value="{file.id}"' in page for file in stored)
        run_jobs()
        assert self.several([file.id for file in stored]).is_valid()

    def test_initial_files_are_shown_kept_and_removed_by_a_box(self):
        mine, others = self.picture(), self.picture(self.bob)
        page = str(PicturesForm(user=self.ann, initial={"pictures": [mine, others]})["pictures"])
        assert (page.count("windlass-upload-row"), page.count("data-multiple")) == (3, 1), "two, and the template"
        kept = self.several([mine.id, others.id], initial=[mine, others])
        assert (kept.is_valid(), kept.has_changed()) == (True, False), "one that was attached stays, whoever owns it"
        form = self.several([mine.id, others.id], removed=[mine.id], initial=[mine, others])
        assert form.is_valid(), form.errors
        assert (form.cleaned_data["pictures"], form.has_changed()) == ([others], True)

    def test_a_form_written_by_hand_has_the_widget_of_several(self):
        text = "{% load windlass %}{% windlass_upload 'photos' files profile='pictures' multiple=True %}"
        page = Template(text).render(Context({"files": [self.picture()]}))
        assert "data-multiple" in page
        assert 'name="photos-upload"' in page
        assert " multiple" in page.partition('type="file"')[2].partition(">")[0]


class Admin(ShopTest):
    def setUp(self):
        super().setUp()
        self.client.force_login(self.chief)

    def test_the_admin_has_the_widget_and_takes_an_id(self):
        page = self.client.get("/admin/shop/product/add/").content.decode()
        assert page.count("data-windlass-upload") == 2
        assert "windlass/django/upload-widget.js" in page
        picture = self.picture()
        reply = self.client.post("/admin/shop/product/add/", {"name": "lamp", "photo": str(picture.id), "manual": ""})
        assert reply.status_code == 302, reply.content.decode()
        assert Product.objects.get().photo == picture

    def test_the_admin_takes_a_file_without_a_script(self):
        manual = io.BytesIO(b"Plug it in.")
        manual.name = "m.txt"
        form = {"name": "lamp", "photo": "", "manual": "", "manual-upload": manual}
        reply = self.client.post("/admin/shop/product/add/", form)
        assert reply.status_code == 302, reply.content.decode()
        assert Product.objects.get().manual.owner == f"user:{self.chief.pk}"


class Templates(ShopTest):
    def rendered(self, text, **context):
        return Template("{% load windlass %}" + text).render(Context(context))

    def test_links_thumbnails_and_sizes(self):
        file = make_ready_file(bytes(1536), "a.bin", user=self.ann)
        assert self.rendered("{% windlass_url file %}", file=file) == f"/files/{file.id}/download/"
        assert self.rendered("{{ file|windlass_size }}, {{ 5|windlass_size }}", file=file) == "1.5 KB, 5 bytes"
        assert self.rendered("{% windlass_thumbnail file %}{% windlass_url none %}", file=file) == ""
        picture = make_file(PNG, "<i>.png", user=self.ann, profile="pictures")
        run_jobs()
        shown = self.rendered("{% windlass_thumbnail file alt=file class_='x' width=40 %}", file=picture)
        assert f'src="/files/{picture.id}/thumbnail/"' in shown
        assert 'alt="&lt;i&gt;.png"' in shown
        assert 'width="40"' in shown

    def test_a_form_written_by_hand_has_the_widget(self):
        page = self.rendered("{% windlass_upload_media %}{% windlass_upload 'photo' profile='pictures' id='p' %}")
        assert 'type="module"' in page
        assert 'data-profile="pictures"' in page
        assert 'id="p"' in page


class Serializers(ShopTest):
    def serializer(self, data, instance=None, user=None):
        request = RequestFactory().post("/")
        request.user = user or self.ann
        return ProductSerializer(instance, data=data, context={"request": request}, partial=instance is not None)

    def test_rest_framework_takes_an_id_and_shows_the_record(self):
        picture = self.picture()
        serializer = self.serializer({"name": "lamp", "photo": str(picture.id)})
        assert serializer.is_valid(), serializer.errors
        shown = ProductSerializer(serializer.save()).data
        assert (shown["photo"]["id"], shown["photo"]["status"], shown["manual"]) == (str(picture.id), "READY", None)

    def test_rest_framework_takes_a_file(self):
        serializer = self.serializer({"name": "lamp", "manual": SimpleUploadedFile("m.txt", b"Plug it in.")})
        assert serializer.is_valid(), serializer.errors
        product = serializer.save()
        assert product.manual.owner == f"user:{self.ann.pk}"
        assert ProductSerializer(product).data["manual"] == str(product.manual_id)

    def test_rest_framework_refuses_the_file_of_another_unless_the_record_has_it(self):
        others = self.picture(self.bob)
        serializer = self.serializer({"name": "lamp", "photo": str(others.id)})
        assert not serializer.is_valid()
        assert serializer.errors["photo"] == [f"There is no file {others.id}. Choose the file again."]
        product = Product.objects.create(name="lamp", photo=others)
        assert self.serializer({"photo": str(others.id)}, product).is_valid()

    def test_a_list_is_shown_without_a_query_for_each_file(self):
        for _ in range(3):
            Product.objects.create(name="lamp", photo=self.picture())
        listed = Product.objects.select_related("photo__blob", "photo__duplicate_of")
        with self.assertNumQueries(3):
            shown = ProductSerializer(listed.prefetch_related("photo__renditions", "photo__steps"), many=True).data
        assert len(shown) == 3

    def test_ninja_takes_an_id_and_shows_the_record(self):
        self.client.force_login(self.ann)
        picture, others = self.picture(), self.picture(self.bob)

        def add(file):
            body = json.dumps({"name": "lamp", "photo": str(file.id)})
            return self.client.post("/shop/products", body, content_type="application/json")

        reply = add(picture)
        assert (reply.status_code, reply.json()["photo"]["id"]) == (200, str(picture.id))
        reply = add(others)
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"] == ["body", "photo"]


class Signals(ShopTest):
    def setUp(self):
        super().setUp()
        self.told = []
        send_signals()
        for signal in signals.SIGNALS.values():
            signal.connect(self.receive)
            self.addCleanup(signal.disconnect, self.receive)

    def receive(self, sender, file, event, **_):
        assert sender is FileAsset
        self.told.append((event.type, event.file_id, file))

    def test_signals_are_sent_in_the_order_of_the_changes(self):
        file = self.picture()
        processing.release(file)
        assert send_signals() == 2
        assert [(kind, shown.status) for kind, _, shown in self.told] == [
            ("file.ready", "RELEASED"),
            ("file.released", "RELEASED"),
        ]
        processing.delete(file)
        file_id = self.told[0][1]
        send_signals()
        assert self.told[-1] == ("file.deleted", file_id, None)
        assert send_signals() == 0, "nothing is sent twice"

    def test_a_receiver_that_raises_does_not_stop_the_others(self):
        def broken(**_):
            raise RuntimeError("a bug of the project")

        signals.file_ready.disconnect(self.receive)
        signals.file_ready.connect(broken)
        signals.file_ready.connect(self.receive)
        self.addCleanup(signals.file_ready.disconnect, broken)
        self.picture()
        self.picture()
        assert send_signals() == 2
        assert len(self.told) == 2

    def test_one_process_sends_at_a_time_and_another_goes_on_after_its_death(self):
        self.picture()
        SignalCursor.objects.update(holder="another", held_until=now() + timedelta(seconds=20))
        assert send_signals() == 0
        SignalCursor.objects.update(held_until=now() - timedelta(seconds=1))
        assert send_signals() == 1

    def test_the_first_start_does_not_send_the_past(self):
        SignalCursor.objects.all().delete()
        self.picture()
        assert send_signals() == 0
        self.picture()
        assert send_signals() == 1


class Helpers(ShopTest):
    def test_run_jobs_processes_a_file_as_a_worker_does(self):
        file = make_file(b"not a picture", "a.png", user=self.ann, profile="pictures")
        assert file.status == FileStatus.PENDING
        run_jobs()
        file.refresh_from_db()
        assert (file.status, file.mime_type) == (FileStatus.REJECTED, "text/plain")

    def test_a_ready_file_has_its_bytes_in_the_temporary_storage_and_no_job(self):
        file = make_ready_file(b"hello", "a.txt", user=self.ann, page_count=3)
        assert (file.status, file.mime_type, file.page_count) == (FileStatus.READY, "text/plain", 3)
        assert (self.storage / "media" / file.blob.key).read_bytes() == b"hello"
        assert run_jobs() == 0

    def test_what_an_upload_refuses_is_refused(self):
        with pytest.raises(FileTooLarge):
            make_file(bytes(1_000_001), "a.png", user=self.ann, profile="pictures")
        assert not list((self.storage / "media").rglob("*.*"))


@contextmanager
def temporary_settings(storage, **changes):
    profiles = conf.get().windlass_profiles
    own = {"WINDLASS_HOME": storage, "WINDLASS_PROFILES": profiles, "RATE_LIMIT_PER_MINUTE": 0, **changes}
    try:
        with override_settings(WINDLASS=own):
            conf.reload()
            yield
    finally:
        conf.reload()


async def send(method, path, **options):
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return await client.request(method, path, **options)
