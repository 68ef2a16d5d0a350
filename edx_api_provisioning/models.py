"""The registry: which API clients there are, and what was done to them. Never a secret.

The unique name and the lock on its row decide between concurrent runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from edx_api_provisioning.core.options import LINE_MAX_LENGTH, NAME_MAX_LENGTH

# As django-oauth-toolkit names its models (oauth2_provider/settings.py), without importing it.
APPLICATION_MODEL: str = getattr(settings, "OAUTH2_PROVIDER_APPLICATION_MODEL", "oauth2_provider.Application")
ACCESS_TOKEN_MODEL: str = getattr(settings, "OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL", "oauth2_provider.AccessToken")

# How long it may take to write out the credentials of one batch of clients.
HANDOVER_TIME = timedelta(minutes=10)


class ApiClient(models.Model):
    """A service user, its Application and its current AccessToken, under one name.

    The row outlives what it points at: that others removed an application or a token is to be seen, not forgotten.

    .. pii: contact is the address of the person who answers for the client.
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
    # What the user was given here; that somebody gave or took rights since then is to be seen.
    is_staff = models.BooleanField(_("staff"), default=False, editable=False)
    is_superuser = models.BooleanField(_("superuser"), default=False, editable=False)
    profile = models.CharField(_("access profile"), max_length=NAME_MAX_LENGTH, blank=True, editable=False)
    declared_rights = models.JSONField(_("declared rights"), default=list, editable=False)
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
    token_issued = models.DateTimeField(_("access token issued"), null=True, editable=False)
    # Rotations issue tokens of this lifetime. Null: of the site's default.
    token_lifetime = models.DurationField(_("access token lifetime"), null=True, editable=False)
    secret_issued = models.DateTimeField(_("client secret issued"), null=True, editable=False)
    # While the secret is rotated with a period of grace, the application that ends with it.
    predecessor = models.OneToOneField(
        APPLICATION_MODEL,
        verbose_name=_("predecessor"),
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )
    predecessor_ends = models.DateTimeField(_("predecessor ends"), null=True, editable=False)
    # The shortest distance, in days, at which the contact was told that the current token ends.
    noticed_days = models.PositiveSmallIntegerField(_("noticed at"), null=True, editable=False)
    self_rotation = models.BooleanField(
        _("may rotate itself"),
        default=False,
        editable=False,
        help_text=_("Whether its access token is enough to get the next one."),
    )
    manifest = models.CharField(
        _("manifest"),
        max_length=NAME_MAX_LENGTH,
        blank=True,
        default="",
        editable=False,
        db_index=True,
        help_text=_("The manifest that declares it."),
    )
    handover = models.CharField(  # noqa: DJ001
        _("handover"),
        max_length=64,
        null=True,
        editable=False,
        help_text=_("What has been issued and not been handed over yet, and by which run."),
    )
    contact = models.EmailField(_("contact"), blank=True, help_text=_("Who answers for this client."))
    purpose = models.CharField(_("purpose"), max_length=LINE_MAX_LENGTH, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.ACTIVE, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    updated = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("API client")
        verbose_name_plural = _("API clients")
        ordering = ("name",)
        default_permissions = ("view",)
        permissions = (
            ("provision_apiclient", _("Can provision API clients")),
            ("rotate_apiclient", _("Can rotate the credentials of API clients")),
            ("revoke_apiclient", _("Can revoke and retire API clients")),
        )

    def __str__(self) -> str:
        return self.name

    def begin_handover(self, what: Iterable[str], run_id: str) -> None:
        """Note that a run has issued some of ``secret`` and ``token``, and is about to hand them over.

        Args:
            run_id: at most 32 letters and digits; if the run may be started again, behind a dot at most 8 more that
                are new each time.
        """
        self.handover = f"{run_id}:{' '.join(sorted(what))}"

    def not_handed_over(self, now: datetime, *, run_id: str = "") -> frozenset[str]:
        """Which of ``secret`` and ``token`` nobody has, because the run that issued them was cut off.

        It is taken to be if it is silent for long, or is the one that asks (a task that is delivered again).
        """
        by, what = self._pending
        cut_off = by.partition(".")[0] in ("", run_id.partition(".")[0]) or self.updated < now - HANDOVER_TIME
        return what if cut_off else frozenset()

    def end_handover(self, what: Iterable[str]) -> None:
        """Note that somebody has these by now, or that there are others in their place."""
        by, pending = self._pending
        left = pending.difference(what)
        self.handover = None
        if left:
            self.begin_handover(left, by)

    def fail_handover(self) -> None:
        """Note that what is pending will certainly not be handed over."""
        self.begin_handover(self._pending[1], "")

    @property
    def _pending(self) -> tuple[str, frozenset[str]]:
        by, _colon, what = (self.handover or "").partition(":")
        return by, frozenset(what.split())


def _refuse() -> NoReturn:
    raise TypeError("Events are only ever added.")


class _OnlyAdded(models.QuerySet["ApiClientEvent"]):
    def update(self, **kwargs: Any) -> NoReturn:
        _refuse()

    def delete(self) -> NoReturn:
        _refuse()


class ApiClientEvent(models.Model):
    """What was done to a client, when and by whom. Rows are only ever added.

    .. no_pii:
    """

    class Kind(models.TextChoices):
        CREATED = "created", _("created")
        UPDATED = "updated", _("updated")
        UNDONE = "undone", _("undone")
        ADOPTED = "adopted", _("adopted")
        ROTATED = "rotated", _("rotated")
        REVOKED = "revoked", _("revoked")
        RETIRED = "retired", _("retired")
        DELETED = "deleted", _("deleted")
        PREDECESSOR_ENDED = "predecessor_ended", _("predecessor ended")
        NOTIFIED = "notified", _("notified")

    client = models.ForeignKey(
        ApiClient, verbose_name=_("API client"), on_delete=models.SET_NULL, null=True, related_name="events"
    )
    # Kept beside the reference, which a deleted client takes away.
    client_name = models.CharField(_("name"), max_length=NAME_MAX_LENGTH)
    kind = models.CharField(_("what"), max_length=32, choices=Kind.choices)
    actor = models.CharField(_("by whom"), max_length=255)
    reason = models.CharField(_("reason"), max_length=LINE_MAX_LENGTH, blank=True)
    # Where a person may ask twice for the same (a double click), what makes it the same: the second is refused.
    request_id = models.CharField(_("request"), max_length=64, unique=True, null=True)  # noqa: DJ001 - many have none
    details = models.JSONField(_("details"), default=dict)
    created = models.DateTimeField(_("when"), auto_now_add=True)

    objects = _OnlyAdded.as_manager()

    class Meta:
        verbose_name = _("API client event")
        verbose_name_plural = _("API client events")
        ordering = ("-pk",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.client_name}: {self.get_kind_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            _refuse()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse()
