"""The questions of the forms, by their kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.admin import widgets

from edx_api_provisioning.data import PURPOSE_MAX_LENGTH, parse_instant, parse_lifetime
from edx_api_provisioning.exceptions import InvalidSpec

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
