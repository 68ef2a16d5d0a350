from __future__ import annotations

from django.apps import AppConfig


class EdxvalConfig(AppConfig):
    name = "edxval"
