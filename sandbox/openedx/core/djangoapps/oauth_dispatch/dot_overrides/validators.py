"""The OAuth2 validator, and the receiver that exists only after it is imported.

Source: openedx/core/djangoapps/oauth_dispatch/dot_overrides/validators.py of the LMS. django-oauth-toolkit imports
the validator class from the settings at the first token or revocation request of a process. Until then nothing
expires the tokens of restricted applications, as in a management command.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models.signals import pre_save
from django.dispatch import receiver
from django.utils import timezone
from oauth2_provider.models import get_access_token_model
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.scopes import get_scopes_backend

from openedx.core.djangoapps.oauth_dispatch.models import RestrictedApplication


@receiver(pre_save, sender=get_access_token_model())
def on_access_token_presave(sender: type[Any], instance: Any, **kwargs: Any) -> None:
    if RestrictedApplication.should_expire_access_token(instance.application):
        instance.expires = datetime(1970, 1, 1, tzinfo=UTC)


class EdxOAuth2Validator(OAuth2Validator):
    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        scopes = super().get_default_scopes(client_id, request, *args, **kwargs)
        allowed = get_scopes_backend().get_available_scopes(application=request.client, request=request)
        return [*scopes, "user_id"] if "user_id" in allowed else scopes

    def _create_access_token(
        self, expires: datetime, request: Any, token: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Create a client credentials token for the application's owner and return its lifetime.

        django-oauth-toolkit computes `expires` before it saves the row. The LMS saves the row a second time, with
        `expires` counted from then: a few milliseconds later than `created` plus the lifetime.
        """
        if request.grant_type == "client_credentials":
            request.user = request.client.user
        access_token = super()._create_access_token(expires, request, token, *args, **kwargs)
        if access_token.expires == expires:
            access_token.expires = timezone.now() + timedelta(seconds=request.expires_in)
            access_token.save(update_fields=["expires", "updated"])
        else:  # expired by the receiver above
            token["expires_in"] = (access_token.expires - timezone.now()).total_seconds()
        return access_token
