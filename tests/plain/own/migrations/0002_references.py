"""Fields that refer back to tables of django-oauth-toolkit."""

from __future__ import annotations

from django.db import migrations
from oauth2_provider.models import AbstractAccessToken


class Migration(migrations.Migration):
    dependencies = [("own", "0001_initial"), ("oauth2_provider", "0004_auto_20200902_2022")]

    operations = [
        migrations.AddField("OwnAccessToken", name, AbstractAccessToken._meta.get_field(name).clone())
        for name in ("source_refresh_token", "id_token")
    ]
