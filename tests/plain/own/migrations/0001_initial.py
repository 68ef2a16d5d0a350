"""Fields of the installed django-oauth-toolkit, except those that refer back to its tables."""

from __future__ import annotations

from django.conf import settings
from django.db import migrations, models
from oauth2_provider.models import AbstractAccessToken, AbstractApplication

LATER = ("source_refresh_token", "id_token")


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    run_before = [("oauth2_provider", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="OwnApplication",
            fields=[
                *((field.name, field.clone()) for field in AbstractApplication._meta.local_fields),
                ("department", models.CharField(max_length=20, default="unknown")),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="OwnAccessToken",
            fields=[
                *(
                    (field.name, field.clone())
                    for field in AbstractAccessToken._meta.local_fields
                    if field.name not in LATER
                ),
                ("uses", models.PositiveIntegerField(default=0)),
            ],
            options={"abstract": False},
        ),
    ]
