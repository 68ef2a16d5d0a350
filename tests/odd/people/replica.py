"""The router of a site with two databases."""

from __future__ import annotations

from typing import Any


class ReadsFromReplica:
    def db_for_read(self, _model: Any, **_hints: Any) -> str:
        return "replica"

    def db_for_write(self, _model: Any, **_hints: Any) -> str:
        return "default"

    def allow_relation(self, *_objects: Any, **_hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, *_arguments: Any, **_hints: Any) -> bool:
        return db == "default"
