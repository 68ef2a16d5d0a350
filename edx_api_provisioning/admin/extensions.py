"""Add buttons and actions to the admin of users and applications.

The admin classes there belong to others: the LMS replaces Django's and django-oauth-toolkit's, and another plugin may
replace the LMS's after this app has loaded. So no class is registered, subclassed or overridden. ``AdminSite.get_urls``
runs when the URLs are loaded, after all apps have registered their classes. Then three methods of the registered
instances are wrapped, and only add to the results. A site action (``AdminSite.add_action``) would appear for every
model; templates named ``admin/oauth2_provider/application/...`` would hide those of a theme.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from weakref import WeakSet

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.auth import get_user_model
from django.db import OperationalError, ProgrammingError, router, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.base import Template
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning import api
from edx_api_provisioning.admin.pages import (
    AdoptPage,
    Page,
    ProvisionPage,
    RetirePage,
    RevokePage,
    RotatePage,
    may,
    page_url,
)
from edx_api_provisioning.admin.selection import MAX_SELECTED
from edx_api_provisioning.models import ApiClient

Tools = list[tuple[str, Any]]

# Operations on an application: the page, the label of its button, and further query parameters.
_ISSUE = (RotatePage, gettext_lazy("Issue access token"), "what=token")

_REPLACE = (RotatePage, gettext_lazy("Rotate client secret"), "what=secret")

_REVOKE = (RevokePage, gettext_lazy("Revoke all tokens"), "")

_RETIRE = (RetirePage, gettext_lazy("Retire API client"), "")

_ADOPT = (AdoptPage, gettext_lazy("Adopt as API client"), "")

_FOR_APPLICATIONS = (_ISSUE, _REPLACE, _REVOKE, _RETIRE, _ADOPT)

_FOR_USERS = ((ProvisionPage, gettext_lazy("Provision API client for selected users"), ""),)

_extended: WeakSet[ModelAdmin[Any]] = WeakSet()


def extend(site: AdminSite) -> None:
    """Extend the admin classes that are registered for users and applications when the URLs are loaded."""
    take_urls = site.get_urls

    @wraps(take_urls)
    def get_urls() -> Any:
        for model, extend_admin in ((get_user_model(), _extend_users), (_application_model(), _extend_applications)):
            model_admin = site._registry.get(model)
            if model_admin is not None and model_admin not in _extended:
                _extended.add(model_admin)
                extend_admin(model_admin)
        return take_urls()

    site.get_urls = get_urls  # type: ignore[method-assign]


def redirect_to(
    request: HttpRequest, page: type[Page], kind: str, rows: QuerySet[Any], query: str = ""
) -> HttpResponse | None:
    """Redirect from the action of a list to the page for the selected rows."""
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[: MAX_SELECTED + 1])
    if len(keys) > MAX_SELECTED:
        messages.error(request, _("Select at most %d.") % MAX_SELECTED)
        return None
    return redirect(page_url(page, "&".join(filter(None, [urlencode({kind: keys}, doseq=True), query]))))


def _application_model() -> Any:
    return ApiClient._meta.get_field("application").related_model


def _extend_users(model_admin: ModelAdmin[Any]) -> None:
    _add_actions(model_admin, "user", _FOR_USERS)


def _extend_applications(model_admin: ModelAdmin[Any]) -> None:
    _add_actions(model_admin, "application", _FOR_APPLICATIONS)

    show_list, show_form = model_admin.changelist_view, model_admin.render_change_form

    @wraps(show_list)
    def changelist_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        offered = may(request, "provision") and IS_POPUP_VAR not in request.GET
        tools = [(page_url(ProvisionPage), ProvisionPage.title)] if offered else []
        return _with_tools(show_list(request, *args, **kwargs), tools)

    @wraps(show_form)
    def render_change_form(request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        response = show_form(request, context, *args, **kwargs)
        application = context.get("original")
        return response if application is None else _with_tools(response, _tools(request, application))

    model_admin.changelist_view = changelist_view  # type: ignore[method-assign]
    model_admin.render_change_form = render_change_form  # type: ignore[method-assign]


def _tools(request: HttpRequest, application: Any) -> Tools:
    """Return the buttons for one application that the person may use."""
    allowed = [choice for choice in _FOR_APPLICATIONS if may(request, choice[0].permission)]
    if not (allowed or may(request, "view")) or not api.may_be_client(application):
        return []
    try:
        # In a savepoint: PostgreSQL rejects all queries after a failed one.
        with transaction.atomic(using=router.db_for_read(ApiClient)):
            client = ApiClient.objects.filter(Q(application=application) | Q(predecessor=application)).first()
    except (OperationalError, ProgrammingError):
        return []  # The migrations of this app have not run yet.
    if client is None:
        return [_tool(choice, application) for choice in allowed] if may(request, "provision") else []
    tools: Tools = []
    if may(request, "view"):
        url = reverse("admin:edx_api_provisioning_apiclient_change", args=[client.pk])
        tools.append((url, _("API client %s") % client.name))
    if client.state == ApiClient.State.RETIRED or client.application_id != application.pk:
        return tools
    return tools + [_tool(choice, application) for choice in allowed if choice is not _ADOPT]


def _tool(choice: tuple[type[Page], Any, str], application: Any) -> tuple[str, Any]:
    page, title, query = choice
    return page_url(page, f"application={application.pk}" + (f"&{query}" if query else "")), title


def _with_tools(response: HttpResponse, tools: Tools) -> HttpResponse:
    """Add buttons to a page, with a template that extends the page's own."""
    if not (tools and isinstance(response, TemplateResponse) and not response.is_rendered):
        return response
    given = getattr(response.resolve_template(response.template_name), "template", None)
    if isinstance(given, Template) and response.context_data is not None:
        response.context_data.update(api_client_page=given, api_client_tools=tools)
        response.template_name = "edx_api_provisioning/admin/with_tools.html"
    return response


def _add_actions(model_admin: ModelAdmin[Any], kind: str, choices: tuple[tuple[type[Page], Any, str], ...]) -> None:
    take_actions = model_admin.get_actions

    @wraps(take_actions)
    def get_actions(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        actions = take_actions(request, *args, **kwargs)
        # None turns actions off.
        if model_admin.actions is None or IS_POPUP_VAR in request.GET:
            return actions
        ours = {
            f"api_client_{page.slug}{query.replace('what=', '_')}": (_act(page, kind, query), title)
            for page, title, query in choices
            if may(request, page.permission)
        }
        return {**actions, **{name: (act, name, title) for name, (act, title) in ours.items()}}

    model_admin.get_actions = get_actions  # type: ignore[method-assign]


def _act(page: type[Page], kind: str, query: str) -> Callable[..., HttpResponse | None]:
    def act(_model_admin: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return redirect_to(request, page, kind, rows, query)

    return act
