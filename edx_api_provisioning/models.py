"""The registry: which API clients there are, and what was done to them. Never a secret.

The unique name and the lock on its row decide between concurrent runs.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from edx_api_provisioning.data import NAME_MAX_LENGTH, PURPOSE_MAX_LENGTH
from edx_api_provisioning.toolkit import ACCESS_TOKEN_MODEL, APPLICATION_MODEL


class ApiClient(models.Model):
    """A service user, its Application and its current AccessToken, under one name.

    The row outlives what it points at: that others removed an application or a token is to be seen, not forgotten.

    .. pii: contact_email is the address of the person who answers for the client.
    .. pii_types: email_address
    .. pii_retirement: consumer_api
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("active")
        RETIRED = "retired", _("retired")

    name = models.CharField(_("name"), max_length=NAME_MAX_LENGTH, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )
    user_made = models.BooleanField(
        _("user made for it"), default=False, editable=False, help_text=_("Whether the user was made here.")
    )
    application = models.OneToOneField(
        APPLICATION_MODEL,
        verbose_name=_("application"),
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )
    # Not watched by the database or by Django: the LMS clears expired tokens by the million, and a reference that
    # has to be looked up for each of them would be felt. A token that is gone reads as None.
    access_token = models.ForeignKey(
        ACCESS_TOKEN_MODEL,
        verbose_name=_("current access token"),
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        editable=False,
        related_name="+",
    )
    contact_email = models.EmailField(_("contact"), blank=True, help_text=_("Who answers for this client."))
    purpose = models.CharField(_("purpose"), max_length=PURPOSE_MAX_LENGTH, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.ACTIVE, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    updated = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("API client")
        verbose_name_plural = _("API clients")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class ApiClientEvent(models.Model):
    """What was done to a client, when and by whom. Rows are only ever added.

    .. no_pii:
    """

    class Kind(models.TextChoices):
        CREATED = "created", _("created")
        UPDATED = "updated", _("updated")
        UNDONE = "undone", _("undone")

    client = models.ForeignKey(
        ApiClient, verbose_name=_("API client"), on_delete=models.SET_NULL, null=True, related_name="events"
    )
    # Kept beside the reference, which a deleted client takes away.
    client_name = models.CharField(_("name"), max_length=NAME_MAX_LENGTH)
    kind = models.CharField(_("what"), max_length=16, choices=Kind.choices)
    actor = models.CharField(_("by whom"), max_length=255)
    details = models.JSONField(_("details"), default=dict)
    created = models.DateTimeField(_("when"), auto_now_add=True)

    class Meta:
        verbose_name = _("API client event")
        verbose_name_plural = _("API client events")
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.client_name}: {self.get_kind_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            self._refuse()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError("Events are only ever added.")
