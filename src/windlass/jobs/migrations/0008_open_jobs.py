from django.db import migrations, models

from windlass.database.online_index import AddIndexOnline


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('windlass_jobs', '0007_backfills'),
    ]

    operations = [
        AddIndexOnline(
            model_name='job',
            index=models.Index(condition=models.Q(('state__in', ['queued', 'running', 'dead'])), fields=['stage', 'state', 'due_at'], name='open_jobs'),
        ),
    ]
