"""Add buttons and actions to the admin of users and applications.

The admin classes there belong to others: the LMS replaces Django's and django-oauth-toolkit's, and another plugin may
replace the LMS's after this app has loaded. So no class is registered, subclassed or overridden. ``AdminSite.get_urls``
runs when the URLs are loaded, after all apps have registered their classes. Then three methods of the registered
instances are wrapped, and only add to the results. A site action (``AdminSite.add_action``) would appear for every
model; templates named ``admin/oauth2_provider/application/...`` would hide those of a theme.
"""

from __future__ import annotations

from functools import wraps
from typing import Any, NamedTuple
from weakref import WeakSet

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.auth import get_user_model
from django.db import DatabaseError, router, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.base import Template
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning import api
from edx_api_provisioning.admin.pages import (
    TEMPLATES,
    AdoptPage,
    Page,
    ProvisionPage,
    RetirePage,
    RevokePage,
    RotatePage,
    action_for,
    admin_url,
    may,
    page_url,
)
from edx_api_provisioning.models import ApiClient


class _Choice(NamedTuple):
    """A button or an action, which opens a page."""

    page: type[Page]
    title: Any
    what: str = ""

    @property
    def query(self) -> dict[str, str]:
        return {"what": self.what} if self.what else {}


_FOR_APPLICATIONS = (
    _Choice(RotatePage, gettext_lazy("Issue access token"), "token"),
    _Choice(RotatePage, gettext_lazy("Rotate client secret"), "secret"),
    _Choice(RevokePage, gettext_lazy("Revoke all tokens")),
    _Choice(RetirePage, gettext_lazy("Retire API client")),
    _Choice(AdoptPage, gettext_lazy("Adopt as API client")),
)
_FOR_USERS = (_Choice(ProvisionPage, gettext_lazy("Provision API client for selected users")),)

_extended: WeakSet[ModelAdmin[Any]] = WeakSet()


def extend(site: AdminSite) -> None:
    """Extend the admin classes that are registered for users and applications when the URLs are loaded."""
    take_urls = site.get_urls

    @wraps(take_urls)
    def get_urls() -> Any:
        application_model = ApiClient._meta.get_field("application").related_model
        for model, extend_admin in ((get_user_model(), _extend_users), (application_model, _extend_applications)):
            model_admin = site._registry.get(model)  # type: ignore[arg-type]
            if model_admin is not None and model_admin not in _extended:
                _extended.add(model_admin)
                extend_admin(model_admin)
        return take_urls()

    site.get_urls = get_urls  # type: ignore[method-assign]


def provision_tool(site: AdminSite, request: HttpRequest) -> list[tuple[str, Any]]:
    """Return the button to provision a client, for people who may."""
    offered = may(request, "provision") and IS_POPUP_VAR not in request.GET
    return [(page_url(site, ProvisionPage), ProvisionPage.title)] if offered else []


def _extend_users(model_admin: ModelAdmin[Any]) -> None:
    _add_actions(model_admin, "user", _FOR_USERS)


def _extend_applications(model_admin: ModelAdmin[Any]) -> None:
    _add_actions(model_admin, "application", _FOR_APPLICATIONS)
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
    allowed = [choice for choice in _FOR_APPLICATIONS if may(request, choice.page.permission)]
    if not (allowed or may(request, "view")) or not api.may_be_client(application):
        return []
    try:
        # In a savepoint: PostgreSQL rejects all queries after a failed one.
        with transaction.atomic(using=router.db_for_read(ApiClient)):
            client = ApiClient.objects.filter(Q(application=application) | Q(predecessor=application)).first()
    except DatabaseError:
        return []  # The migrations of this app have not run yet.
    tools = []
    if client is None:
        allowed = allowed if may(request, "provision") else []
    elif not may(request, "view"):
        return []
    else:
        url = admin_url(site, "edx_api_provisioning_apiclient_change", client.pk)
        tools.append((url, _("API client %s") % client.name))
        current = client.state == ApiClient.State.ACTIVE and client.application_id == application.pk
        allowed = [choice for choice in allowed if current and choice.page is not AdoptPage]
    urls = [page_url(site, choice.page, application=application.pk, **choice.query) for choice in allowed]
    return [*tools, *zip(urls, (choice.title for choice in allowed), strict=True)]


def _with_tools(response: HttpResponse, tools: list[tuple[str, Any]]) -> HttpResponse:
    """Add buttons to a page, with a template that extends the page's own."""
    if not (tools and isinstance(response, TemplateResponse) and not response.is_rendered):
        return response
    given = getattr(response.resolve_template(response.template_name), "template", None)
    if isinstance(given, Template) and response.context_data is not None:
        response.context_data.update(api_client_page=given, api_client_tools=tools)
        response.template_name = f"{TEMPLATES}/with_tools.html"
    return response


def _add_actions(model_admin: ModelAdmin[Any], kind: str, choices: tuple[_Choice, ...]) -> None:
    take_actions = model_admin.get_actions

    @wraps(take_actions)
    def get_actions(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        actions = take_actions(request, *args, **kwargs)
        # None turns actions off.
        if model_admin.actions is None or IS_POPUP_VAR in request.GET:
            return actions
        ours = {
            f"api_client_{choice.page.slug}" + (f"_{choice.what}" if choice.what else ""): choice
            for choice in choices
            if may(request, choice.page.permission)
        }
        found = {
            name: (action_for(choice.page, kind, **choice.query), name, choice.title) for name, choice in ours.items()
        }
        return {**actions, **found}

    model_admin.get_actions = get_actions  # type: ignore[method-assign]
