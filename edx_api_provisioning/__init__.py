"""Open edX API credentials in one step: service user, OAuth2 application and access token."""

from __future__ import annotations

__version__ = "0.1.0"
