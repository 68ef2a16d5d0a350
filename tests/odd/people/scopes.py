"""A scopes backend that looks at the application."""

from __future__ import annotations

from typing import Any

from oauth2_provider.scopes import SettingsScopes


class ScopesByName(SettingsScopes):
    def get_available_scopes(self, application: Any = None, *_arguments: Any, **_hints: Any) -> list[str]:
        return ["read"] if application.name.startswith("reader") else ["read", "write"]

    def get_default_scopes(self, application: Any = None, *arguments: Any, **hints: Any) -> list[str]:
        return self.get_available_scopes(application)
