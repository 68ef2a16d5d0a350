"""Add actions to the lists of clients, users and applications, and buttons to the pages of applications.

The admin classes of users and applications belong to others: the LMS replaces Django's and django-oauth-toolkit's, and
another plugin may replace the LMS's after this app has loaded. So no class is registered, subclassed or overridden.
``AdminSite.get_urls`` runs when the URLs are loaded, after all apps have registered their classes. Then three methods
of the registered instances are wrapped, and only add to the results. A site action (``AdminSite.add_action``) would
appear for every model; templates named ``admin/oauth2_provider/application/...`` would hide those of a theme.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple
from weakref import WeakSet

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.options import IS_POPUP_VAR
from django.db import DatabaseError, router, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.base import Template
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning import api
from edx_api_provisioning.admin import pages
from edx_api_provisioning.admin.selection import MAX_SELECTED, model_of
from edx_api_provisioning.models import ApiClient


class _Choice(NamedTuple):
    """A button or an action, which opens a page."""

    page: type[pages.Page]
    title: Any
    what: str = ""

    @property
    def name(self) -> str:
        return f"api_client_{self.page.slug}" + (f"_{self.what}" if self.what else "")

    def url(self, site: AdminSite, **subjects: Any) -> str:
        return pages.page_url(site, self.page, **subjects, **({"what": self.what} if self.what else {}))


_FOR_APPLICATIONS = (
    _Choice(pages.RotatePage, gettext_lazy("Issue access token"), "token"),
    _Choice(pages.RotatePage, gettext_lazy("Rotate client secret"), "secret"),
    _Choice(pages.RevokePage, gettext_lazy("Revoke all tokens")),
    _Choice(pages.RetirePage, gettext_lazy("Retire API client")),
    _Choice(pages.AdoptPage, gettext_lazy("Adopt as API client")),
)
_ACTIONS = {
    "client": [_Choice(page, page.title) for page in (pages.RotatePage, pages.RevokePage, pages.RetirePage)],
    "application": _FOR_APPLICATIONS,
    "user": [_Choice(pages.ProvisionPage, gettext_lazy("Provision API client for selected users"))],
}

_extended: WeakSet[ModelAdmin[Any]] = WeakSet()


def extend(site: AdminSite) -> None:
    """Extend the admin classes of clients, users and applications that are registered when the URLs are loaded."""
    take_urls = site.get_urls

    @wraps(take_urls)
    def get_urls() -> Any:
        for kind in _ACTIONS:
            model_admin = site._registry.get(model_of(kind))
            if model_admin is not None and model_admin not in _extended:
                _extended.add(model_admin)
                _add_actions(model_admin, kind)
                if kind == "application":
                    _add_tools(model_admin)
        return take_urls()

    site.get_urls = get_urls  # type: ignore[method-assign]


def provision_tool(site: AdminSite, request: HttpRequest) -> list[tuple[str, Any]]:
    """Return the button to provision a client, for people who may."""
    offered = pages.may(request, "provision") and IS_POPUP_VAR not in request.GET
    return [(pages.page_url(site, pages.ProvisionPage), pages.ProvisionPage.title)] if offered else []


def _add_tools(model_admin: ModelAdmin[Any]) -> None:
    """Add buttons to the list and the pages of applications."""
    site, show_list, show_form = model_admin.admin_site, model_admin.changelist_view, model_admin.render_change_form

    @wraps(show_list)
    def changelist_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _with_tools(show_list(request, *args, **kwargs), provision_tool(site, request))

    @wraps(show_form)
    def render_change_form(request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        response, application = show_form(request, context, *args, **kwargs), context.get("original")
        return response if application is None else _with_tools(response, _tools(site, request, application))

    model_admin.changelist_view = changelist_view  # type: ignore[method-assign]
    model_admin.render_change_form = render_change_form  # type: ignore[method-assign]


def _tools(site: AdminSite, request: HttpRequest, application: Any) -> list[tuple[str, Any]]:
    """Return the buttons for one application that the person may use."""
    allowed = [choice for choice in _FOR_APPLICATIONS if pages.may(request, choice.page.permission)]
    if not (allowed or pages.may(request, "view")) or not api.may_be_client(application):
        return []
    try:
        # In a savepoint: PostgreSQL rejects all queries after a failed one.
        with transaction.atomic(using=router.db_for_read(ApiClient)):
            client = ApiClient.objects.filter(Q(application=application) | Q(predecessor=application)).first()
    except DatabaseError:
        return []  # The migrations of this app have not run yet.
    tools = []
    if client is None:
        allowed = allowed if pages.may(request, "provision") else []
    elif not pages.may(request, "view"):
        return []
    else:
        url = pages.admin_url(site, "edx_api_provisioning_apiclient_change", client.pk)
        tools.append((url, _("API client %s") % client.name))
        current = client.state == ApiClient.State.ACTIVE and client.application_id == application.pk
        allowed = [choice for choice in allowed if current and choice.page is not pages.AdoptPage]
    return [*tools, *((choice.url(site, application=application.pk), choice.title) for choice in allowed)]


def _with_tools(response: HttpResponse, tools: list[tuple[str, Any]]) -> HttpResponse:
    """Add buttons to a page, with a template that extends the page's own."""
    if not (tools and isinstance(response, TemplateResponse) and not response.is_rendered):
        return response
    given = getattr(response.resolve_template(response.template_name), "template", None)
    if isinstance(given, Template) and response.context_data is not None:
        response.context_data.update(api_client_page=given, api_client_tools=tools)
        response.template_name = f"{pages.TEMPLATES}/with_tools.html"
    return response


def _add_actions(model_admin: ModelAdmin[Any], kind: str) -> None:
    take_actions = model_admin.get_actions

    @wraps(take_actions)
    def get_actions(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        actions = take_actions(request, *args, **kwargs)
        # None turns actions off.
        if model_admin.actions is None or IS_POPUP_VAR in request.GET:
            return actions
        allowed = [choice for choice in _ACTIONS[kind] if pages.may(request, choice.page.permission)]
        return {**actions, **{choice.name: (_action(choice, kind), choice.name, choice.title) for choice in allowed}}

    model_admin.get_actions = get_actions  # type: ignore[method-assign]


def _action(choice: _Choice, kind: str) -> Callable[..., HttpResponse | None]:
    """Return the action that opens a page for the selected rows, which are of this kind."""

    def act(model_admin: ModelAdmin[Any], request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[: MAX_SELECTED + 1])
        if len(keys) > MAX_SELECTED:
            messages.error(request, _("Select at most %d.") % MAX_SELECTED)
            return None
        return redirect(choice.url(model_admin.admin_site, **{kind: keys}))

    return act
