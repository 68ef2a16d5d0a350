"""Contain one module for each management command."""
