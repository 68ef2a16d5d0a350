"""The registry: which API clients there are, and what was done to them. Never a secret.

The unique name and the lock on its row decide between concurrent runs.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from edx_api_provisioning.core.options import LINE_MAX_LENGTH, NAME_MAX_LENGTH
from edx_api_provisioning.core.results import IssueIds

# As django-oauth-toolkit names its models (oauth2_provider/settings.py), without importing it.
APPLICATION_MODEL: str = getattr(settings, "OAUTH2_PROVIDER_APPLICATION_MODEL", "oauth2_provider.Application")
ACCESS_TOKEN_MODEL: str = getattr(settings, "OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL", "oauth2_provider.AccessToken")


class ApiClient(models.Model):
    """A service user, its Application and its current AccessToken, under one name.

    The row outlives what it points at: that others removed an application or a token is to be seen, not forgotten.

    .. pii: contact is the email address of the person responsible for the client; purpose may name a person.
    .. pii_types: email_address, username
    .. pii_retirement: local_api
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
    # The user that was created for this client: it belongs to one client only. Null where the account existed before,
    # and an operator or superuser consented to its use. (MySQL has no conditional unique constraints.)
    owned_user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("own user"),
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )
    # Who received the current secret and token ("operator", or the primary key of a user), and the older credentials
    # that may still work. Somebody who is not known counts as nobody.
    recipients = models.JSONField(_("recipients"), default=dict, editable=False)
    user_made = models.BooleanField(
        _("user created for it"),
        default=False,
        editable=False,
        help_text=_("True if the user was created for this client."),
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
    # Credentials that were issued before this change nothing at the REST API: the last rotation, revocation or change
    # of rights.
    last_cut = models.DateTimeField(_("last cut"), null=True, editable=False)
    # Noted at most once an hour. Newer grants of the token endpoint are in the tokens of the application.
    last_used = models.DateTimeField(_("last used"), null=True, editable=False)
    bearer_used = models.DateTimeField(_("Bearer token last used"), null=True, editable=False)
    # While the secret is rotated with a period of grace, the application that ends with it.
    predecessor = models.OneToOneField(
        APPLICATION_MODEL,
        verbose_name=_("predecessor"),
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )
    predecessor_ends = models.DateTimeField(_("old application expires"), null=True, editable=False)
    # The shortest distance, in days, at which the contact was told that the current token ends.
    noticed_days = models.PositiveSmallIntegerField(_("notice sent at"), null=True, editable=False)
    self_rotation = models.BooleanField(
        _("self-rotation"),
        default=False,
        editable=False,
        help_text=_("True if the client may replace its access token, using the token itself."),
    )
    manifest = models.CharField(
        _("manifest"),
        max_length=NAME_MAX_LENGTH,
        blank=True,
        default="",
        editable=False,
        db_index=True,
        help_text=_("Manifest that declares the client."),
    )
    # Random, and new for each secret and token that is issued: a staged file says by them of which ones it is.
    secret_issue = models.CharField(max_length=16, default="", editable=False)
    token_issue = models.CharField(max_length=16, default="", editable=False)
    contact = models.EmailField(
        _("contact"), blank=True, help_text=_("Email address of the person responsible for the client.")
    )
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

    @property
    def issues(self) -> IssueIds:
        """Return the ids of the current secret and token."""
        return IssueIds(self.secret_issue, self.token_issue)


def _refuse() -> NoReturn:
    raise TypeError("Events are only ever added.")


class _OnlyAdded(models.QuerySet["ApiClientEvent"]):
    def update(self, **kwargs: Any) -> NoReturn:
        _refuse()

    def delete(self) -> NoReturn:
        _refuse()


class ApiClientEvent(models.Model):
    """Entry in the history of a client. Rows are only added.

    .. pii: actor names the account that made the change; reason and details may hold usernames and email addresses.
    .. pii_types: email_address, username
    .. pii_retirement: local_api
    """

    class Kind(models.TextChoices):
        CREATED = "created", _("created")
        UPDATED = "updated", _("updated")
        ADOPTED = "adopted", _("adopted")
        ROTATED = "rotated", _("rotated")
        REVOKED = "revoked", _("revoked")
        RETIRED = "retired", _("retired")
        DELETED = "deleted", _("deleted")
        PREDECESSOR_ENDED = "predecessor_ended", _("predecessor ended")
        NOTIFIED = "notified", _("notified")
        REFUSED = "refused", _("refused")
        SHARED = "shared", _("user shared")

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
        """Insert the event; refuse to change an existing one."""
        if self.pk is not None:
            _refuse()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to delete the event."""
        _refuse()
