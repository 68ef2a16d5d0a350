from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class StudentConfig(AppConfig):
    name = "common.djangoapps.student"

    def ready(self) -> None:
        import_module("common.djangoapps.student.signals.receivers")
