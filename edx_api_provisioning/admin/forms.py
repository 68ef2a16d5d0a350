"""Define the forms of the admin pages from the table of options. They convert types; ClientSpec validates."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from django import VERSION, forms
from django.contrib.admin import helpers, widgets
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.admin.selection import Subject
from edx_api_provisioning.core.commands import GRACE, NEW_SECRET, NEW_TOKEN
from edx_api_provisioning.core.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.core.options import (
    CLIENT,
    DURATION,
    FLAG,
    INSTANT,
    LINE_MAX_LENGTH,
    NAME_MAX_LENGTH,
    PARTS,
    REASON,
    RIGHTS,
    STORED,
    USER,
    VALUES,
    Option,
)
from edx_api_provisioning.core.parsing import parse_instant, parse_lifetime
from edx_api_provisioning.core.spec import change_client, declared_values
from edx_api_provisioning.data import ClientSpec

_LIST_MAX_LENGTH = 20_000


class _ParsedField(forms.CharField):
    """A text that a function parses; None if it is empty."""

    def __init__(self, parse: Callable[[str], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._parse = parse

    def clean(self, value: Any) -> Any:
        try:
            return self._read(super().clean(value))
        except InvalidSpec as error:
            raise forms.ValidationError(error.message) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        # Browsers write line breaks differently; only the value counts.
        return bool(self._read(initial) != self.clean(data))

    def _read(self, text: str) -> Any:
        return self._parse(text) if text else None


def _each_line(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def form_field(option: Option) -> forms.Field:
    """Return the form field of an option."""
    how: dict[str, Any] = {"label": capfirst(_(option.label)), "help_text": _(option.help), "required": False}
    if option.kind == FLAG:
        return forms.BooleanField(initial=bool(option.default), **how)
    if option.kind == DURATION:
        return _ParsedField(parse_lifetime, widget=widgets.AdminTextInputWidget, **how)
    if option.kind == INSTANT:
        return _ParsedField(parse_instant, widget=forms.DateInput({"type": "date", "class": "vTextField"}), **how)
    if option.many:
        how["help_text"] = _("%s One per line.") % how["help_text"]
        widget = widgets.AdminTextareaWidget({"rows": 3})
        return _ParsedField(_each_line, max_length=_LIST_MAX_LENGTH, widget=widget, **how)
    if option.name == "profile":
        profiles = [(each.name, f"{each.name}: {each.title}") for each in api.profiles()]
        return forms.ChoiceField(choices=[("", "-"), *profiles], **how)
    return forms.CharField(max_length=option.max_length or LINE_MAX_LENGTH, widget=widgets.AdminTextInputWidget, **how)


def versions(subjects: Sequence[Subject], *, lock: bool = False) -> str:
    """Return the versions of some subjects as one text."""
    return " ".join(subject.version(lock=lock) for subject in subjects)


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

    def name_for(self, subject: Subject) -> str:
        """Return the name of the subject's client, existing or new."""
        return subject.client.name if subject.client is not None else str(self.cleaned_data[_name_of(subject)])

    def given(self, *names: str) -> dict[str, Any]:
        """Return the values of some fields; None for those that were left empty."""
        return {name: None if self.cleaned_data[name] == "" else self.cleaned_data[name] for name in names}

    def explain(self, error: ProvisioningError, subject: Subject | None = None) -> None:
        """Show an error of a service function, beside its field if it has one."""
        field: str | None = error.field
        if subject is not None and field == "name":
            field = _name_of(subject)
        if field in self.fields:
            self.add_error(field, error.message)
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
        """Return the fieldsets: a part each, in the order of the table."""
        names = [_name_of(subject) for subject in self._unnamed]
        found: list[Any] = [(_("API client"), {"fields": names})] if names else []
        for part in PARTS:
            fields = [option.name for option in self.options if option.part == part]
            if fields:
                found.append((_(part), {"fields": fields, "classes": self._classes(part, fields)}))
        return found

    def _classes(self, part: str, fields: Sequence[str]) -> list[str]:
        # Few clients need rights: the part is closed until a value is given.
        if part != RIGHTS:
            return []
        given = any(self[name].value() or name in self.errors for name in fields)
        return ["api-client-more", *(["api-client-open"] if given else [])]


def _name_of(subject: Subject) -> str:
    return f"name_{subject.key}"


_NEW = tuple(option for option in CLIENT.values() if option.part != VALUES)
_CHANGED = tuple(option for option in _NEW if option.part != USER and option.name != "name")


class _SpecForm(PageForm):
    def _spec(self, **fixed: Any) -> ClientSpec:
        """Return a spec with the given values. An unticked box says nothing, unless it is ticked by default."""
        values = {option.name: self.cleaned_data[option.name] for option in self.options if option.name in CLIENT}
        given = {name: value for name, value in values.items() if value or CLIENT[name].default is True}
        return ClientSpec(**{**given, **fixed})


class NewClientForm(_SpecForm):
    """Create an API client, with a service user of its own or an existing account."""

    options = (*_NEW, REASON)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].required = True

    def spec(self, _subject: Subject | None) -> ClientSpec:
        """Return the spec of the client.

        Raises:
            InvalidSpec: if a value is wrong on every site.
        """
        return self._spec()


class AccountsForm(_SpecForm):
    """Create an API client for each of some accounts, with the rights of the account."""

    options = (*(option for option in _CHANGED if option.part != RIGHTS), REASON)

    def spec(self, subject: Subject) -> ClientSpec:
        """Return the spec for one account.

        Raises:
            InvalidSpec: if a value is wrong on every site.
        """
        user = subject.user
        return self._spec(
            name=self.name_for(subject),
            username=user.get_username(),
            use_existing_user=True,
            staff=user.is_staff,
            superuser=user.is_superuser,
        )


class AgainForm(PageForm):
    """Change an existing API client: recreate what it lacks, and change the fields that were edited."""

    options = (*_CHANGED, REASON)

    def __init__(self, *args: Any, subjects: Sequence[Subject], **kwargs: Any) -> None:
        super().__init__(*args, subjects=subjects, **kwargs)
        (client,) = (subject.client for subject in subjects)
        assert client is not None  # noqa: S101 - for the type checker: the page is about a client
        declared = tuple(client.declared_rights)
        shown = {name: getattr(client, name) for name in STORED}
        shown |= {"token": client.access_token_id is not None, "restricted": "restricted" in declared}
        for option in self.options:
            if option.many and option.part == RIGHTS:
                shown[option.name] = "\n".join(declared_values(declared, option))
            if option.name in shown:
                self.fields[option.name].initial = shown[option.name]
        if "restricted" in self.fields:
            self.fields["restricted"].disabled = shown["restricted"]  # A restriction cannot be removed here.

    def spec(self, subject: Subject) -> ClientSpec:
        """Return a spec that changes the edited fields.

        Raises:
            InvalidSpec: if a value is wrong on every site.
        """
        client = subject.client
        assert client is not None  # noqa: S101 - for the type checker: as above
        given = {
            name: () if CLIENT[name].many and self.cleaned_data[name] is None else self.cleaned_data[name]
            for name in self.changed_data
            if name in CLIENT
        }
        given["token"] = self.cleaned_data["token"]
        return change_client(client.name, tuple(client.declared_rights), given)


class RotateForm(PageForm):
    """Rotate the credentials of clients."""

    options = (
        NEW_TOKEN._replace(default=True), NEW_SECRET, GRACE, CLIENT["expires_in"], CLIENT["expires_at"], REASON,
    )  # fmt: skip


class EndForm(PageForm):
    """Revoke or retire clients."""

    options = (REASON,)


class AdoptForm(PageForm):
    """Adopt applications as clients."""

    options = (CLIENT["contact"], CLIENT["purpose"], REASON)
