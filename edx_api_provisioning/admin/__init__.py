"""The door in the LMS's admin: forms, a call, a page. What is allowed is decided by the service functions."""

from __future__ import annotations

from django.contrib import admin

from edx_api_provisioning.admin.clients import ApiClientAdmin, ApiClientEventAdmin
from edx_api_provisioning.admin.extensions import extend
from edx_api_provisioning.models import ApiClient, ApiClientEvent

admin.site.register(ApiClient, ApiClientAdmin)
admin.site.register(ApiClientEvent, ApiClientEventAdmin)
extend(admin.site)
