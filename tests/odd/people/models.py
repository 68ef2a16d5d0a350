"""User and application models of the odd sites."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import AbstractUser, PermissionsMixin
from django.db import models
from oauth2_provider.models import AbstractApplication


class PersonManager(BaseUserManager["Person"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> Person:
        person = self.model(email=self.normalize_email(email), **fields)
        person.set_password(password)
        person.save(using=self._db)
        return person


if settings.SITE == "people":

    class Person(AbstractBaseUser, PermissionsMixin):
        """Known by the email address, with a UUID as key."""

        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        email = models.EmailField(unique=True)
        is_staff = models.BooleanField(default=False)
        is_active = models.BooleanField(default=True)

        USERNAME_FIELD = "email"
        REQUIRED_FIELDS: ClassVar[list[str]] = []

        objects = PersonManager()


if settings.SITE == "company":

    class Employee(AbstractUser):
        number = models.PositiveIntegerField()

    class DepartmentApplication(AbstractApplication):
        cost_center = models.PositiveIntegerField()
