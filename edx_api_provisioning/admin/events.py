"""The history of all clients in the admin, those that were deleted too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning.admin.base import TEMPLATES, ReadOnly, lines
from edx_api_provisioning.models import ApiClientEvent

if TYPE_CHECKING:
    _EventBase = admin.ModelAdmin[ApiClientEvent]
else:
    _EventBase = admin.ModelAdmin


class ApiClientEventAdmin(ReadOnly, _EventBase):
    """The history of all clients, those that were deleted too."""

    list_display = ("created", "client_name", "kind", "actor", "reason")
    list_filter = ("kind",)
    search_fields = ("client_name", "actor")
    date_hierarchy = None
    show_full_result_count = False
    change_list_template = f"{TEMPLATES}/client_list.html"
    change_form_template = f"{TEMPLATES}/event.html"
    fields = ("created", "client_name", "kind", "actor", "reason", "particulars")
    readonly_fields = ("particulars",)

    class Media:
        css: ClassVar[Any] = {"all": ("edx_api_provisioning/admin.css",)}

    # No event is selected for anything.
    actions = None

    @admin.display(description=gettext_lazy("details"))
    def particulars(self, event: Any) -> Any:
        """What there is of them, by the names that they are kept under."""
        return lines(f"{key}: {_plain(value)}" for key, value in event.details.items() if value)


def _plain(value: Any) -> str:
    return _("yes") if value is True else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
