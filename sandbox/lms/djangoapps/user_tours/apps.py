from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class UserToursConfig(AppConfig):
    name = "lms.djangoapps.user_tours"

    def ready(self) -> None:
        import_module("lms.djangoapps.user_tours.handlers")
