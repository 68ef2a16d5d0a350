"""A list in one text column, stored like django_mysql.models.ListCharField."""

from __future__ import annotations

from typing import Any

from django.db import models


class ListCharField(models.CharField):
    def from_db_value(self, value: str | None, *args: Any) -> list[str] | None:
        return None if value is None else self._split(value)

    def to_python(self, value: Any) -> list[str] | None:
        return self._split(value) if isinstance(value, str) else value

    def get_prep_value(self, value: list[str] | str | None) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if any("," in member for member in value):
            raise ValueError(f"List members in ListCharField {self.name} cannot contain commas")
        return ",".join(value)

    def value_from_object(self, obj: models.Model) -> str | None:
        return self.get_prep_value(super().value_from_object(obj))

    @staticmethod
    def _split(value: str) -> list[str]:
        return value.split(",") if value else []
