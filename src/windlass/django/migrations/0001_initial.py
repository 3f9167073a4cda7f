from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="SignalCursor",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("event_id", models.BigIntegerField()),
                ("holder", models.CharField(blank=True, default="", max_length=64)),
                ("held_until", models.DateTimeField(blank=True, null=True)),
            ],
        ),
    ]
