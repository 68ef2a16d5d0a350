"""Speak with the systems around the package: django-oauth-toolkit, the LMS, the database."""
