"""What came with manifests and self-rotation."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("edx_api_provisioning", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="apiclient",
            name="handover",
            field=models.CharField(
                editable=False,
                help_text="What has been issued and not been handed over yet, and by which run.",
                max_length=64,
                null=True,
                verbose_name="handover",
            ),
        ),
        migrations.AddField(
            model_name="apiclient",
            name="manifest",
            field=models.CharField(
                db_index=True,
                editable=False,
                blank=True,
                default="",
                help_text="The manifest that declares it.",
                max_length=100,
                verbose_name="manifest",
            ),
        ),
        migrations.AddField(
            model_name="apiclient",
            name="self_rotation",
            field=models.BooleanField(
                default=False,
                editable=False,
                help_text="Whether its access token is enough to get the next one.",
                verbose_name="may rotate itself",
            ),
        ),
    ]
