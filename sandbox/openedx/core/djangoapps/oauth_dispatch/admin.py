"""The LMS's admin classes: django-oauth-toolkit's own ones are replaced.

Source: openedx/core/djangoapps/oauth_dispatch/admin.py of the LMS.
"""

from __future__ import annotations

from django.contrib import admin
from oauth2_provider.models import (
    get_access_token_model,
    get_application_model,
    get_grant_model,
    get_refresh_token_model,
)

from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication


class DOTAccessTokenAdmin(admin.ModelAdmin):
    date_hierarchy = "expires"
    list_display = ("token", "user", "application", "expires")
    list_filter = ("application",)
    raw_id_fields = ("user",)
    search_fields = ("token", "user__username")


class DOTRefreshTokenAdmin(admin.ModelAdmin):
    list_display = ("token", "user", "application", "access_token")
    list_filter = ("application",)
    raw_id_fields = ("user", "access_token")
    search_fields = ("token", "user__username", "access_token__token")


class DOTApplicationAdmin(admin.ModelAdmin):
    list_display = ("name", "user", "client_type", "authorization_grant_type", "client_id")
    list_filter = ("client_type", "authorization_grant_type", "skip_authorization")
    raw_id_fields = ("user",)
    search_fields = ("name", "user__username", "client_id")


class DOTGrantAdmin(admin.ModelAdmin):
    date_hierarchy = "expires"
    list_display = ("code", "user", "application", "expires")
    list_filter = ("application",)
    raw_id_fields = ("user",)
    search_fields = ("code", "user__username")


@admin.register(ApplicationAccess)
class ApplicationAccessAdmin(admin.ModelAdmin):
    list_display = ("application", "scopes", "filters")


@admin.register(RestrictedApplication)
class RestrictedApplicationAdmin(admin.ModelAdmin):
    list_display = ("application",)


for _model, _admin in (
    (get_access_token_model(), DOTAccessTokenAdmin),
    (get_application_model(), DOTApplicationAdmin),
    (get_grant_model(), DOTGrantAdmin),
    (get_refresh_token_model(), DOTRefreshTokenAdmin),
):
    admin.site.unregister(_model)
    admin.site.register(_model, _admin)
