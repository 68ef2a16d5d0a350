"""What the pages ask. Values only get the types of ``ClientSpec`` here; that checks them, as for the command."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

from django import VERSION, forms
from django.contrib.admin import helpers, widgets
from django.utils.translation import gettext_lazy as _

from edx_api_provisioning import api
from edx_api_provisioning.admin.selection import Subject
from edx_api_provisioning.core.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.core.parsing import parse_instant, parse_lifetime
from edx_api_provisioning.core.spec import NAME_MAX_LENGTH, PURPOSE_MAX_LENGTH
from edx_api_provisioning.data import ClientSpec

_LIST_MAX_LENGTH = 20_000


class _ParsedField(forms.CharField):
    """A line of text that one of our own parsers reads; None where there is none."""

    def __init__(self, parse: Callable[[str], Any], **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self._parse = parse

    def clean(self, value: Any) -> Any:
        try:
            return self._read(super().clean(value))
        except InvalidSpec as error:
            raise forms.ValidationError(error.message) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        # What is said counts, and not how a browser writes line breaks.
        return bool(self._read(initial) != self.clean(data))

    def _read(self, text: str) -> Any:
        return self._parse(text) if text else None


def line(label: Any, help_text: Any, *, max_length: int = PURPOSE_MAX_LENGTH) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=help_text,
        max_length=max_length,
        required=False,
        widget=widgets.AdminTextInputWidget,
    )


def lifetime(label: Any, help_text: Any) -> forms.Field:
    return _ParsedField(parse_lifetime, label=label, help_text=help_text, widget=widgets.AdminTextInputWidget)


def day(label: Any, help_text: Any) -> forms.Field:
    return _ParsedField(
        parse_instant, label=label, help_text=help_text, widget=forms.DateInput({"type": "date", "class": "vTextField"})
    )


def _each_line(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def lines(label: Any, help_text: Any) -> forms.Field:
    """None where nothing is given."""
    return _ParsedField(
        _each_line,
        label=label,
        help_text=help_text,
        max_length=_LIST_MAX_LENGTH,
        widget=widgets.AdminTextareaWidget({"rows": 3}),
    )


def check(label: Any, help_text: Any = "", *, initial: bool = False) -> forms.BooleanField:
    return forms.BooleanField(label=label, help_text=help_text, initial=initial, required=False)


_CREDENTIALS = _("Access token")
_RECORD = _("For the record")
_RIGHTS = _("Rights beyond those of any account")
# The lists of rights: what a list of a ClientSpec is called, and the kind of right in it, as in ``grants``.
_LISTS = {
    "permissions": "permission",
    "groups": "group",
    "course_roles": "course_role",
    "global_roles": "global_role",
    "filters": "filter",
}


def _profiles() -> list[tuple[str, Any]]:
    return [("", "-"), *((each.name, f"{each.name}: {each.title}") for each in api.profiles())]


class PageForm(forms.Form):
    """A form in the admin's own dress, for a number of subjects, each of which may still need a client's name."""

    fieldsets: ClassVar[Any] = ()
    required_css_class = "required"
    # Made anew for every page that asks for a last time: a double click sends the same one twice, and is done once.
    request_id = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, subjects: Sequence[Subject] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unnamed = [subject for subject in subjects if subject.client is None]
        for subject in self._unnamed:
            self.fields[_name_of(subject)] = forms.CharField(
                label=_("Name for %s") % subject.label,
                help_text=_("Of the new API client; letters, digits, '.', '_' and '-'."),
                initial=subject.proposed_name,
                max_length=NAME_MAX_LENGTH,
                widget=widgets.AdminTextInputWidget,
            )
        self.fields["request_id"].initial = uuid.uuid4

    def name_for(self, subject: Subject) -> str:
        """The name of the subject's client, be it one yet or not."""
        return subject.client.name if subject.client is not None else str(self.cleaned_data[_name_of(subject)])

    def given(self, *names: str) -> dict[str, Any]:
        """The answers to some of the questions; None for those that were left empty."""
        return {name: None if self.cleaned_data[name] == "" else self.cleaned_data[name] for name in names}

    def explain(self, error: ProvisioningError, subject: Subject | None = None) -> None:
        """Show what the service function refused, beside the field that it is about if there is one."""
        field: str | None = error.field
        if subject is not None and field == "name":
            field = _name_of(subject)
        if field in self.fields:
            self.add_error(field, error.message)
        else:
            self.add_error(None, f"{subject.label}: {error.message}" if subject is not None else str(error))

    def in_admin_dress(self) -> helpers.AdminForm:
        """For ``admin/includes/fieldset.html``, which Django's own pages are made of."""
        if VERSION < (5, 2):  # From then on Django tells screen readers itself.
            for name, field in self.fields.items():
                if field.help_text:
                    field.widget.attrs["aria-describedby"] = f"id_{name}_helptext"
                if name in self.errors:
                    field.widget.attrs["aria-invalid"] = "true"
        return helpers.AdminForm(cast("Any", self), self.parts(), {}, model_admin=None)

    def parts(self) -> list[Any]:
        """The fieldsets."""
        names = {"fields": [_name_of(subject) for subject in self._unnamed]}
        return [*([(_("API client"), names)] if self._unnamed else []), *self.fieldsets]


def _name_of(subject: Subject) -> str:
    return f"name_{subject.key}"


class _TokenForm(PageForm):
    """The questions about an access token."""

    expires_in = lifetime(_("Expires in"), _("A time span such as 90d, 12h or 52w."))
    expires_at = day(_("Or expires on"), _("The token works until this day begins (UTC)."))


class _ProvisionForm(_TokenForm):
    token = check(
        _("Issue an access token"),
        _("Without one, the client gets tokens with its id and secret."),
        initial=True,
    )
    self_rotation = check(
        _("May rotate itself"), _("With the access token that it has, the client may give itself the next one.")
    )
    scopes = line(_("Scopes"), _("Separated by spaces; leave empty for the site's default scopes."))
    contact = line(_("Contact"), _("The email address of the person who answers for this client."))
    purpose = line(_("Purpose"), _("What the client is for."))
    reason = line(_("Reason"), _("Why this is done now; it is kept in the history."))

    fieldsets: ClassVar[Any] = (
        (_CREDENTIALS, {"fields": ["token", "expires_in", "expires_at", "scopes", "self_rotation"]}),
        (_RECORD, {"fields": ["contact", "purpose", "reason"]}),
    )

    def _spec(self, **who: Any) -> ClientSpec:
        scopes = self.cleaned_data["scopes"].split()
        return ClientSpec(
            token=self.cleaned_data["token"],
            self_rotation=self.cleaned_data["self_rotation"] or None,
            scopes=tuple(scopes) if scopes else None,
            **self.given("expires_in", "expires_at", "contact", "purpose"),
            **who,
        )


class _RightsForm(_ProvisionForm):
    """The questions about rights, which hardly any client needs: out of the way as long as nothing is answered."""

    profile = forms.ChoiceField(
        label=_("Access profile"),
        help_text=_("All that a purpose needs and no more. Some need a role or filter too, which they then ask for."),
        choices=_profiles,
        required=False,
    )
    permissions = lines(_("Permissions"), _("Django's, one a line, such as course_modes.change_coursemode."))
    groups = lines(_("Groups"), _("Names of groups that exist, one a line."))
    course_roles = lines(
        _("Course roles"), _("One a line, such as staff@course-v1:edX+DemoX+2026, or staff@edX for all courses of edX.")
    )
    global_roles = lines(_("Global roles"), _("Roles without a course, one a line, such as support."))
    restricted = check(
        _("Restricted"),
        _("A RestrictedApplication: it gets JWTs only, which open only what their scopes and filters say."),
    )
    filters = lines(_("Filters"), _("Of what its JWTs reach, one a line, such as content_org:edX."))

    def parts(self) -> list[Any]:
        names = ["profile", "permissions", "groups", "course_roles", "global_roles", "restricted", "filters"]
        answered = any(self[name].value() or name in self.errors for name in names)
        rights = (
            _RIGHTS,
            {"fields": names, "classes": ["api-client-more", *(["api-client-open"] if answered else [])]},
        )
        *first, token, record = super().parts()
        return [*first, rights, token, record]


class NewClientForm(_RightsForm):
    """An API client with a service user of its own, or an account that is there already."""

    name = line(_("Name"), _("Of the API client; letters, digits, '.', '_' and '-'."), max_length=NAME_MAX_LENGTH)
    username = line(_("Username"), _("Of the service user; leave empty for the client's name."))
    email = line(_("Email address"), _("Of a new service user; leave empty for its username at this site."))
    use_existing_user = check(
        _("Use an existing account"),
        _("An account that was made elsewhere becomes the service user: the client may do all that it may."),
    )
    staff = check(
        _("Staff"),
        _("Staff may use nearly every endpoint: read and change enrolments, grades and personal data of everybody."),
    )
    superuser = check(
        _("Superuser"),
        _("A superuser may do everything, retiring and deactivating users included. Hardly any client needs this."),
    )

    fieldsets = (
        (_("API client"), {"fields": ["name"]}),
        (_("Service user"), {"fields": ["username", "email", "use_existing_user", "staff", "superuser"]}),
        *_ProvisionForm.fieldsets,
    )

    def spec(self, _subject: Subject | None) -> ClientSpec:
        """What is wanted.

        Raises:
            InvalidSpec: if no site would take it.
        """
        flags = ("use_existing_user", "staff", "superuser", "restricted")
        return self._spec(
            name=self.cleaned_data["name"],
            **self.given("username", "email", "profile", *_LISTS),
            **{name: self.cleaned_data[name] for name in flags},
        )


NewClientForm.base_fields["name"].required = True


class AccountsForm(_ProvisionForm):
    """An API client for each of some accounts, with the rights that each has."""

    def spec(self, subject: Subject) -> ClientSpec:
        """What is wanted for one account.

        Raises:
            InvalidSpec: if no site would take it.
        """
        user = subject.user
        return self._spec(
            name=self.name_for(subject),
            username=user.get_username(),
            use_existing_user=True,
            staff=user.is_staff,
            superuser=user.is_superuser,
        )


class AgainForm(_RightsForm):
    """An API client that is there: what it lacks is made, what is said about it is changed."""

    def __init__(self, *args: Any, subjects: Sequence[Subject], **kwargs: Any) -> None:
        super().__init__(*args, subjects=subjects, **kwargs)
        (client,) = (subject.client for subject in subjects)
        assert client is not None  # noqa: S101 - for the type checker: the page is about a client
        restricted = "restricted" in client.declared_rights
        shown = {
            "contact": client.contact_email,
            "purpose": client.purpose,
            "token": client.access_token_id is not None,
            "profile": client.profile,
            "restricted": restricted,
            "self_rotation": bool(client.self_rotation),
        }
        for name, kind in _LISTS.items():
            rights = (right.partition(":") for right in client.declared_rights)
            shown[name] = "\n".join(value for of, _colon, value in rights if of == kind)
        for name, value in shown.items():
            self.fields[name].initial = value
        # It is not taken away here.
        self.fields["restricted"].disabled = restricted

    def spec(self, subject: Subject) -> ClientSpec:
        """What is wanted.

        Raises:
            InvalidSpec: if no site would take it.
        """
        client = subject.client
        assert client is not None  # noqa: S101 - for the type checker: as above
        said = ("contact", "purpose", "restricted", "self_rotation")
        wanted: dict[str, Any] = {name: self.cleaned_data[name] for name in said}
        if {"profile", *_LISTS} & set(self.changed_data):
            wanted |= {name: self.cleaned_data[name] or () for name in _LISTS}
            wanted["profile"] = self.cleaned_data["profile"]
        # All of it was shown as it is: what is empty now is to be empty. But rights that somebody gave to the user
        # elsewhere are not among what was shown, and stay as long as nothing is said about rights.
        flags = {"staff": client.is_staff, "superuser": client.is_superuser}
        return replace(self._spec(name=client.name, **flags), **wanted)


class RotateForm(_TokenForm):
    token = check(_("Issue a new access token"), initial=True)
    secret = check(
        _("Replace the client secret"), _("With a time of grace, the client moves to a new application and client id.")
    )
    grace = lifetime(
        _("Grace"),
        _("How long the old credentials go on working, such as 7d; leave empty to end them now."),
    )
    reason = line(_("Reason"), _("Why this is done now; it is kept in the history."))

    fieldsets = (
        (_("What to rotate"), {"fields": ["token", "secret", "grace"]}),
        (_("New access token"), {"fields": ["expires_in", "expires_at"]}),
        (_RECORD, {"fields": ["reason"]}),
    )


class EndForm(PageForm):
    reason = line(_("Reason"), _("Why this is done now; it is kept in the history."))

    fieldsets = ((_RECORD, {"fields": ["reason"]}),)


class AdoptForm(PageForm):
    contact = line(_("Contact"), _("The email address of the person who answers for this client."))
    purpose = line(_("Purpose"), _("What the client is for."))
    reason = line(_("Reason"), _("Why this is done now; it is kept in the history."))

    fieldsets = ((_RECORD, {"fields": ["contact", "purpose", "reason"]}),)
