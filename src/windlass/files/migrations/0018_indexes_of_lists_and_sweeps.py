"""The indexes that lists and sweeps follow, created while the tables are in use (docs/decisions/0115)."""

from django.db import migrations, models

from windlass.database.online_index import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('windlass_files', '0017_periodic_task_state'),
    ]

    operations = [
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(fields=['owner', 'status', '-created_at', '-id'], name='file_of_owner_by_status'),
        ),
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(fields=['status', '-created_at', '-id'], name='file_by_status_and_time'),
        ),
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(fields=['owner', 'mime_type', '-created_at', '-id'], name='file_of_owner_by_type'),
        ),
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(fields=['mime_type', '-created_at', '-id'], name='file_by_type'),
        ),
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(condition=models.Q(('reference__isnull', False)), fields=['owner', 'reference', '-created_at', '-id'], name='file_of_owner_by_reference'),
        ),
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(condition=models.Q(('reference__isnull', False)), fields=['reference', '-created_at', '-id'], name='file_by_reference_and_time'),
        ),
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(condition=models.Q(('trash_until__isnull', False)), fields=['owner', '-created_at', '-id'], name='file_of_owner_in_trash'),
        ),
        AddIndexOnline(
            model_name='rendition',
            index=models.Index(fields=['key'], name='rendition_by_key'),
        ),
        AddIndexOnline(
            model_name='uploadsession',
            index=models.Index(condition=models.Q(('resumable', False)), fields=['status', 'id'], name='upload_of_one_request'),
        ),
        AddIndexOnline(
            model_name='uploadsession',
            index=models.Index(condition=models.Q(('ended_at__isnull', False)), fields=['ended_at', 'id'], name='upload_by_end'),
        ),
        AddIndexOnline(
            model_name='uploadsession',
            index=models.Index(condition=models.Q(('parts__isnull', False)), fields=['status', 'owner', 'created_at'], name='upload_made_of_others'),
        ),
        AddIndexOnline(
            model_name='uploadsession',
            index=models.Index(condition=models.Q(('status__in', ['active', 'assembling'])), fields=['-updated_at', '-id'], name='upload_by_last_write'),
        ),
        AddIndexOnline(
            model_name='uploadsession',
            index=models.Index(condition=models.Q(('dialect', 's3'), ('status', 'active')), fields=['updated_at'], name='direct_upload_by_last_write'),
        ),
        AddIndexOnline(
            model_name='uploadsession',
            index=models.Index(fields=['store_key'], name='upload_by_key'),
        ),
        AddIndexOnline(
            model_name='uploadsession',
            index=models.Index(fields=['-created_at', '-id'], name='upload_by_time'),
        ),
        AddIndexOnline(
            model_name='fileasset',
            index=models.Index(fields=['checksum', 'owner'], name='file_by_checksum'),
        ),
        # What these were for follows the new ones.
        RemoveIndexOnline(
            model_name='fileasset',
            name='file_by_content',
        ),
        RemoveIndexOnline(
            model_name='fileasset',
            name='file_by_reference',
        ),
        RemoveIndexOnline(
            model_name='fileasset',
            name='file_by_status',
        ),
    ]
