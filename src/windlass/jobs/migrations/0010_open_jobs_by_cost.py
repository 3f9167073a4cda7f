from django.db import migrations, models

from windlass.database.online_index import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('windlass_jobs', '0009_cost_classes'),
    ]

    operations = [
        AddIndexOnline(
            model_name='job',
            index=models.Index(condition=models.Q(('state__in', ['queued', 'running', 'dead'])), fields=['stage', 'cost', 'state', 'due_at'], name='open_jobs_by_cost'),
        ),
        RemoveIndexOnline(model_name='job', name='open_jobs'),
    ]
