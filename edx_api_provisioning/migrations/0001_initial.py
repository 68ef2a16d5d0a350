"""The registry's tables."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# The settings that django-oauth-toolkit reads, with its defaults.
APPLICATION_MODEL = getattr(settings, "OAUTH2_PROVIDER_APPLICATION_MODEL", "oauth2_provider.Application")
ACCESS_TOKEN_MODEL = getattr(settings, "OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL", "oauth2_provider.AccessToken")


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        migrations.swappable_dependency(ACCESS_TOKEN_MODEL),
        migrations.swappable_dependency(APPLICATION_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiClient",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True, verbose_name="name")),
                (
                    "user_made",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="True if the user was created for this client.",
                        verbose_name="user created for it",
                    ),
                ),
                ("is_staff", models.BooleanField(default=False, editable=False, verbose_name="staff")),
                ("is_superuser", models.BooleanField(default=False, editable=False, verbose_name="superuser")),
                (
                    "profile",
                    models.CharField(blank=True, editable=False, max_length=100, verbose_name="access profile"),
                ),
                ("declared_rights", models.JSONField(default=list, editable=False, verbose_name="declared rights")),
                ("token_issued", models.DateTimeField(editable=False, null=True, verbose_name="access token issued")),
                (
                    "token_lifetime",
                    models.DurationField(editable=False, null=True, verbose_name="access token lifetime"),
                ),
                ("secret_issued", models.DateTimeField(editable=False, null=True, verbose_name="client secret issued")),
                ("last_cut", models.DateTimeField(editable=False, null=True, verbose_name="last cut")),
                ("last_used", models.DateTimeField(editable=False, null=True, verbose_name="last used")),
                (
                    "bearer_used",
                    models.DateTimeField(editable=False, null=True, verbose_name="Bearer token last used"),
                ),
                (
                    "predecessor_ends",
                    models.DateTimeField(editable=False, null=True, verbose_name="old application expires"),
                ),
                (
                    "noticed_days",
                    models.PositiveSmallIntegerField(editable=False, null=True, verbose_name="notice sent at"),
                ),
                (
                    "self_rotation",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="True if the client may replace its access token, using the token itself.",
                        verbose_name="self-rotation",
                    ),
                ),
                (
                    "manifest",
                    models.CharField(
                        blank=True,
                        default="",
                        db_index=True,
                        editable=False,
                        help_text="Manifest that declares the client.",
                        max_length=100,
                        verbose_name="manifest",
                    ),
                ),
                ("secret_issue", models.CharField(default="", editable=False, max_length=16)),
                ("token_issue", models.CharField(default="", editable=False, max_length=16)),
                (
                    "contact",
                    models.EmailField(
                        blank=True,
                        help_text="Email address of the person responsible for the client.",
                        max_length=254,
                        verbose_name="contact",
                    ),
                ),
                ("purpose", models.CharField(blank=True, max_length=255, verbose_name="purpose")),
                (
                    "state",
                    models.CharField(
                        choices=[("active", "active"), ("retired", "retired")],
                        default="active",
                        editable=False,
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("created", models.DateTimeField(auto_now_add=True, verbose_name="created")),
                ("updated", models.DateTimeField(auto_now=True, verbose_name="updated")),
                (
                    "access_token",
                    models.ForeignKey(
                        db_constraint=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=ACCESS_TOKEN_MODEL,
                        verbose_name="current access token",
                    ),
                ),
                (
                    "application",
                    models.OneToOneField(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=APPLICATION_MODEL,
                        verbose_name="application",
                    ),
                ),
                (
                    "predecessor",
                    models.OneToOneField(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=APPLICATION_MODEL,
                        verbose_name="predecessor",
                    ),
                ),
                ("recipients", models.JSONField(default=dict, editable=False, verbose_name="recipients")),
                (
                    "owned_user",
                    models.OneToOneField(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="own user",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "API client",
                "verbose_name_plural": "API clients",
                "ordering": ("name",),
                "permissions": (
                    ("provision_apiclient", "Can provision API clients"),
                    ("rotate_apiclient", "Can rotate the credentials of API clients"),
                    ("revoke_apiclient", "Can revoke and retire API clients"),
                ),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="ApiClientEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("client_name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("created", "created"),
                            ("updated", "updated"),
                            ("adopted", "adopted"),
                            ("rotated", "rotated"),
                            ("revoked", "revoked"),
                            ("retired", "retired"),
                            ("deleted", "deleted"),
                            ("predecessor_ended", "predecessor ended"),
                            ("notified", "notified"),
                            ("refused", "refused"),
                            ("shared", "user shared"),
                        ],
                        max_length=32,
                        verbose_name="what",
                    ),
                ),
                ("actor", models.CharField(max_length=255, verbose_name="by whom")),
                ("reason", models.CharField(blank=True, max_length=255, verbose_name="reason")),
                ("request_id", models.CharField(max_length=64, null=True, unique=True, verbose_name="request")),
                ("details", models.JSONField(default=dict, verbose_name="details")),
                ("created", models.DateTimeField(auto_now_add=True, verbose_name="when")),
                (
                    "client",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="events",
                        to="edx_api_provisioning.apiclient",
                        verbose_name="API client",
                    ),
                ),
            ],
            options={
                "verbose_name": "API client event",
                "verbose_name_plural": "API client events",
                "ordering": ("-pk",),
                "default_permissions": ("view",),
            },
        ),
    ]
