"""Define the forms of the admin pages from the table of options. They convert types; ClientSpec validates."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

from django import VERSION, forms
from django.contrib.admin import helpers, widgets
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning import api, conf
from edx_api_provisioning.admin.selection import Subject
from edx_api_provisioning.core.commands import GRACE, NEW_SECRET, NEW_TOKEN
from edx_api_provisioning.core.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.core.options import (
    CLIENT,
    CLIENT_PART,
    FLAG,
    INSTANT,
    LINE_MAX_LENGTH,
    NAME_MAX_LENGTH,
    REASON,
    RECORD,
    RIGHTS,
    STORED,
    TOKEN,
    USER,
    VALUES,
    Option,
)
from edx_api_provisioning.core.parsing import in_words, parse_instant, parse_lifetime, spell_lifetime
from edx_api_provisioning.core.spec import MAX_GRACE, change_client, values_of
from edx_api_provisioning.data import ClientSpec

_LIST_MAX_LENGTH = 20_000

# The parts of a form, in order. Few clients need those that are closed until a value is given.
_ELEVATED = gettext_lazy("Staff and superuser")
_PARTS = (CLIENT_PART, TOKEN, RIGHTS, USER, _ELEVATED, RECORD)
_CLOSED = (RIGHTS, USER, _ELEVATED)
_WARNINGS = {
    _ELEVATED: gettext_lazy(
        "Warning: whoever has the credentials of a staff client can read and change nearly everything through the API, "
        "and those of a superuser everything. Prefer an access profile or single permissions."
    )
}
# Of the fields whose values are typed in a command, and chosen here.
_HELP = {
    "expires_in": gettext_lazy("Lifetime of the access token."),
    "expires_at": gettext_lazy("Expiry date of the access token, instead of a lifetime."),
    "grace": gettext_lazy("Grace period in which the old credentials keep working."),
    "profile": gettext_lazy("Access profile: exactly the permissions that one purpose needs."),
    "scopes": gettext_lazy("Scopes of the access token. Without any, it has the default scopes."),
}


class _ParsedField(forms.CharField):
    """A text that a function parses; None if it is empty."""

    def __init__(self, parse: Callable[[str], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._parse = parse

    def clean(self, value: Any) -> Any:
        return self._coerce(super().clean(value))

    def _coerce(self, text: str) -> Any:
        # has_changed() compares what this returns: browsers write line breaks differently.
        try:
            return self._parse(text) if text else None
        except InvalidSpec as error:
            raise forms.ValidationError(error.message) from None


def _each_line(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _spans(days: Iterable[int], longest: timedelta) -> list[tuple[str, str]]:
    """Return time spans as choices, each with the date on which it ends if it begins now."""
    spans = [span for span in map(timedelta, days) if span <= longest]
    return [(spell_lifetime(span), _until(span)) for span in spans]


def _until(span: timedelta) -> str:
    date = date_format(localtime(datetime.now(UTC) + span), "DATE_FORMAT")
    return _("%(span)s, until %(date)s") % {"span": in_words(span), "date": date}


def _choices(option: Option) -> list[tuple[str, str]]:
    """Return the choices of an option, with the default first; none if it is free text."""
    longest = conf.get("MAX_TOKEN_LIFETIME")
    if option.name == "profile":
        return [("", "-"), *((each.name, f"{each.name}: {each.title}") for each in api.profiles())]
    if option.name == "grace":
        return [("", _("None")), *_spans((1, 7, 30), MAX_GRACE)]
    if option.name == "expires_in":
        default = _("Default of the site: %s") % _until(min(conf.get("TOKEN_LIFETIME"), longest))
        return [("", default), *_spans((30, 60, 90, 365), longest)]
    return []


def form_field(option: Option) -> forms.Field:
    """Return the form field of an option."""
    help_text = _HELP.get(option.name) or _(option.help)
    if option is CLIENT["token"] and api.is_lms():
        help_text += _(" Clients send it as a Bearer token, which Open edX has deprecated in favor of JWTs.")
    how: dict[str, Any] = {"label": capfirst(_(option.label)), "help_text": help_text}
    how["required"] = option.name == "name"
    if option.kind == FLAG:
        default = conf.get("ISSUE_TOKENS") if option is CLIENT["token"] else option.default
        return forms.BooleanField(initial=bool(default), **how)
    if option.kind == INSTANT:
        return _ParsedField(parse_instant, widget=forms.DateInput({"type": "date", "class": "vTextField"}), **how)
    if option.name == "scopes":
        scopes = [
            (name, f"{name}: {words}" + (_(" (default)") if default else "")) for name, words, default in api.scopes()
        ]
        return forms.TypedMultipleChoiceField(
            choices=scopes, coerce=str, empty_value=None, widget=forms.CheckboxSelectMultiple, **how
        )
    if choices := _choices(option):
        parse = str if option.name == "profile" else parse_lifetime
        empty = "" if option.name == "profile" else None
        return forms.TypedChoiceField(choices=choices, coerce=parse, empty_value=empty, **how)
    if option.many:
        how["help_text"] = _("%s One per line.") % how["help_text"]
        widget = widgets.AdminTextareaWidget({"rows": 3})
        return _ParsedField(_each_line, max_length=_LIST_MAX_LENGTH, widget=widget, **how)
    return forms.CharField(max_length=option.max_length or LINE_MAX_LENGTH, widget=widgets.AdminTextInputWidget, **how)


def versions(subjects: Sequence[Subject], *, lock: bool = False) -> str:
    """Return a digest of each subject, which changes with it and with its rights."""
    return " ".join(api.version_of(each.client, each.user, each.application, lock=lock) for each in subjects)


class PageForm(forms.Form):
    """A form in the style of the admin, for a number of subjects, each of which may still need a client's name."""

    options: ClassVar[Sequence[Option]] = ()
    required_css_class = "required"
    # New for every page that asks for confirmation: a double click sends the same one twice, and is executed once.
    request_id = forms.UUIDField(widget=forms.HiddenInput)
    # Of the subjects as they were when the page was opened.
    version = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, subjects: Sequence[Subject] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = [option for option in self.options if not option.lms or api.is_lms()]  # type: ignore[misc]
        self._unnamed = [subject for subject in subjects if subject.client is None]
        for subject in self._unnamed:
            self.fields[_name_of(subject)] = forms.CharField(
                label=_("Name for %s") % subject.label,
                help_text=_(CLIENT["name"].help),
                initial=subject.proposed_name,
                max_length=NAME_MAX_LENGTH,
                widget=widgets.AdminTextInputWidget,
            )
        for option in self.options:
            self.fields[option.name] = form_field(option)
        self.fields["request_id"].initial = uuid.uuid4
        self.fields["version"].initial = lambda: versions(subjects)

    def name_for(self, subject: Subject | None) -> str:
        """Return the name of the client, existing or new; one that no client has if the given name is wrong."""
        if subject is not None and subject.client is not None:
            return subject.client.name
        field = "name" if subject is None else _name_of(subject)
        return str(self.cleaned_data.get(field) or f"unnamed-{uuid.uuid4().hex[:12]}")

    def given(self, *names: str) -> dict[str, Any]:
        """Return the values of some fields; None for those that were left empty."""
        return {name: None if self.cleaned_data[name] == "" else self.cleaned_data[name] for name in names}

    def explain(self, error: ProvisioningError, subject: Subject | None = None) -> None:
        """Show an error of a service function, beside its field if it has one."""
        field: str | None = error.field
        if subject is not None and field == "name":
            field = _name_of(subject)
        if field in self.fields:
            # A message begins in lower case, and maybe with a name, which is not to be capitalized.
            self.add_error(field, f"{self.fields[field].label}: {error.message}")
        else:
            self.add_error(None, f"{subject.label}: {error.message}" if subject is not None else str(error))

    def in_admin_dress(self) -> helpers.AdminForm:
        """Return the form for ``admin/includes/fieldset.html``, which Django's own pages use."""
        if VERSION < (5, 2):  # From then on Django tells screen readers itself.
            for name, field in self.fields.items():
                if field.help_text:
                    field.widget.attrs["aria-describedby"] = f"id_{name}_helptext"
                if name in self.errors:
                    field.widget.attrs["aria-invalid"] = "true"
        return helpers.AdminForm(cast("Any", self), self.parts(), {}, model_admin=None)

    def parts(self) -> list[Any]:
        """Return the fieldsets: a part each, in order; those that are closed have the class ``api-client-more``."""
        parts: dict[Any, list[str]] = {part: [] for part in _PARTS}
        parts[CLIENT_PART] += [_name_of(subject) for subject in self._unnamed]
        for option in self.options:
            parts[_ELEVATED if option.name in ("staff", "superuser") else option.part].append(option.name)
        found = []
        for part, names in parts.items():
            given = any(self[name].value() or name in self.errors for name in names)
            classes = ["api-client-more", *(["api-client-open"] if given else [])] if part in _CLOSED else []
            about = {"fields": names, "classes": classes, "description": _WARNINGS.get(part)}
            found += [(_(str(part)), about)] if names else []
        return found


def _name_of(subject: Subject) -> str:
    return f"name_{subject.key}"


def _keep_lifetime(form: PageForm) -> None:
    """Offer an existing client the lifetime that it has, instead of the site's default."""
    lifetime: Any = form.fields["expires_in"]
    lifetime.choices = [("", _("The same lifetime as before")), *lifetime.choices[1:]]


_NEW = tuple(
    sorted(
        (option for option in CLIENT.values() if option.part != VALUES),
        key=lambda option: option.name == "self_rotation",  # the last of its part
    )
)
_CHANGED = tuple(option for option in _NEW if option.part != USER and option.name != "name")


class NewClientForm(PageForm):
    """Create an API client, with a service user of its own or an existing account."""

    options = (*_NEW, REASON)

    def spec(self, subject: Subject | None) -> ClientSpec:
        """Return the spec of the client, without the values that were found wrong."""
        return ClientSpec(**{"name": self.name_for(subject), **self.values()})

    def values(self) -> dict[str, Any]:
        """Return the given values of a spec. An unticked box says nothing; that of the token, if it was left alone."""
        values = {name: value for name, value in self.cleaned_data.items() if name in CLIENT}
        said = {name for name, value in values.items() if value and name != "token"} | {*self.changed_data}
        return {name: value for name, value in values.items() if name in said}


class AccountsForm(NewClientForm):
    """Create an API client for each of some accounts, with the rights of the account."""

    options = (*(option for option in _CHANGED if option.part != RIGHTS), REASON)

    def spec(self, subject: Any) -> ClientSpec:
        """Return the spec for one account."""
        user = subject.user
        return ClientSpec(
            **self.values(),
            name=self.name_for(subject),
            username=user.get_username(),
            use_existing_user=True,
            staff=user.is_staff,
            superuser=user.is_superuser,
        )


class AgainForm(PageForm):
    """Change an existing API client: recreate what it lacks, and change the fields that were edited."""

    options = (*_CHANGED, REASON)

    def __init__(self, *args: Any, subjects: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(*args, subjects=subjects, **kwargs)
        _keep_lifetime(self)
        (client,) = (subject.client for subject in subjects)
        declared = tuple(client.declared_rights)
        shown = {name: getattr(client, name) for name in STORED}
        shown |= {"token": client.access_token_id is not None, "restricted": "restricted" in declared}
        for option in self.options:
            if option.many and option.part == RIGHTS:
                shown[option.name] = "\n".join(values_of(option.singular, declared))
            if option.name in shown:
                self.fields[option.name].initial = shown[option.name]
        scopes = list(api.get_client(client.name).scopes)
        self.fields["scopes"].initial, self.fields["scopes"].required = scopes, bool(scopes)
        if "restricted" in self.fields:
            self.fields["restricted"].disabled = shown["restricted"]  # A restriction cannot be removed here.

    def spec(self, subject: Any) -> ClientSpec:
        """Return a spec that changes the edited fields."""
        given = {
            name: () if CLIENT[name].many and self.cleaned_data[name] is None else self.cleaned_data[name]
            for name in self.changed_data
            if name in CLIENT and name in self.cleaned_data
        }
        return change_client(subject.client.name, tuple(subject.client.declared_rights), given)


class RotateForm(PageForm):
    """Rotate the credentials of clients."""

    options = (
        NEW_TOKEN._replace(default=True), NEW_SECRET, GRACE, CLIENT["expires_in"], CLIENT["expires_at"], REASON,
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _keep_lifetime(self)


class EndForm(PageForm):
    """Revoke or retire clients."""

    options = (REASON,)


class AdoptForm(PageForm):
    """Adopt applications as clients."""

    options = (CLIENT["contact"], CLIENT["purpose"], REASON)
