"""Manage API clients in the admin: forms that call the public API. The services decide what is allowed."""

from __future__ import annotations

from django.contrib import admin

from edx_api_provisioning.admin.clients import ApiClientAdmin, ApiClientEventAdmin
from edx_api_provisioning.models import ApiClient, ApiClientEvent

admin.site.register(ApiClient, ApiClientAdmin)
admin.site.register(ApiClientEvent, ApiClientEventAdmin)
