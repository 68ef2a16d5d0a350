"""Provide the management commands."""
