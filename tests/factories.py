"""Factories for rows and values, and a function to run commands."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import django
import factory
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import load_command_class
from django.db import connection
from factory.django import DjangoModelFactory
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.results import Credentials, Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.state import (
    CurrentApplication,
    CurrentClient,
    CurrentState,
    CurrentToken,
    CurrentUser,
    Site,
)
from edx_api_provisioning.models import ApiClient, ApiClientEvent

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECRET = "correct-horse-battery-staple-0123456789"
TOKEN = "tokens.of.my.own-choosing_0123456789"
ADMINS = ["root@example.org"] if django.VERSION >= (6, 0) else [("root", "root@example.org")]


def operator(label: str = "the test") -> Authority:
    return Authority.operator(label)


def person(user: Any, label: str = "the test") -> Authority:
    return Authority.person(user, label)


OPERATOR = operator()


class UserFactory(DjangoModelFactory):
    class Meta:
        model = get_user_model()

    username = factory.Sequence(lambda number: f"user-{number}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")
    password = "!no password has this hash"


def make_user(*rights: str, **flags: Any) -> Any:
    """Create a user with permissions: "view" means view_apiclient, names with "_" are codenames."""
    user = UserFactory(**flags)
    codenames = [right if "_" in right else f"{right}_apiclient" for right in rights]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert user.user_permissions.count() == len(rights)
    return user


class ApplicationFactory(DjangoModelFactory):
    class Meta:
        model = get_application_model()

    name = factory.Sequence(lambda number: f"application-{number}")
    user = factory.SubFactory(UserFactory)
    client_id = factory.Sequence(lambda number: f"client-id-{number}")
    client_secret = SECRET
    client_type = "confidential"
    authorization_grant_type = "client-credentials"


class AccessTokenFactory(DjangoModelFactory):
    class Meta:
        model = get_access_token_model()

    application = factory.SubFactory(ApplicationFactory)
    user = factory.SelfAttribute("application.user")
    token = factory.Sequence(lambda number: f"token-{number:030}")
    scope = "read write"
    expires = factory.LazyFunction(lambda: datetime.now(UTC) + timedelta(days=1))


class ApiClientFactory(DjangoModelFactory):
    class Meta:
        model = ApiClient

    name = factory.Sequence(lambda number: f"api-client-{number}")
    application = factory.SubFactory(ApplicationFactory)
    user = factory.SelfAttribute("application.user")
    access_token = factory.SubFactory(AccessTokenFactory, application=factory.SelfAttribute("..application"))


class CredentialsFactory(factory.Factory):
    """Credentials of a run that created everything."""

    class Meta:
        model = Credentials

    name = "report"
    status = Status.CREATED
    username = "report"
    email = "report@lms.example.org"
    client_id = "the-client-id"
    client_secret = factory.LazyFunction(lambda: Secret(SECRET))
    access_token = factory.LazyFunction(lambda: Secret(TOKEN))
    expires_at = datetime(2036, 3, 1, 12, 0, 0, tzinfo=UTC)
    scopes = ("read", "write")


class SiteFactory(factory.Factory):
    class Meta:
        model = Site

    now = NOW
    host = "lms.example.org"
    lifetime = timedelta(days=365)
    max_lifetime = timedelta(days=730)
    default_scopes = ("read", "write")
    available_scopes = ("read", "write", "email", "grades:read")


class CurrentUserFactory(factory.Factory):
    class Meta:
        model = CurrentUser

    username = "report"
    email = "report@lms.example.org"
    is_staff = False
    is_superuser = False
    active = True
    linked = True


class CurrentApplicationFactory(factory.Factory):
    class Meta:
        model = CurrentApplication

    client_id = "the-client-id"
    user_pk = 7
    client_credentials = True
    restricted = False


class CurrentTokenFactory(factory.Factory):
    class Meta:
        model = CurrentToken

    pk = 9
    expires_at = NOW + timedelta(days=30)
    scopes = ("read", "write")


class CurrentClientFactory(factory.Factory):
    class Meta:
        model = CurrentClient

    name = "report"
    user_pk = 7
    username = "report"
    retired = False
    contact = ""
    purpose = ""
    application = factory.SubFactory(CurrentApplicationFactory)
    token = factory.SubFactory(CurrentTokenFactory)
    has_token = True


class StateFactory(factory.Factory):
    """The state of a complete client."""

    class Meta:
        model = CurrentState

    client = factory.SubFactory(CurrentClientFactory)
    user = factory.SubFactory(CurrentUserFactory)


@dataclass(frozen=True)
class CommandResult:
    """The result of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """Return the JSON output of a successful command."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)

    @property
    def refusal(self) -> str:
        """Return the one-line error of a failed command."""
        return self._error(1)

    @property
    def misuse(self) -> str:
        """Return the one-line error of a command whose options are missing or exclude each other."""
        return self._error(2)

    def _error(self, code: int) -> str:
        assert (self.code, self.stdout, self.stderr.count("\n")) == (code, "", 1), self
        return self.stderr.removeprefix("CommandError: ").rstrip("\n")


def run(
    *arguments: str,
    stdin: str | bytes = "",
    stdout: io.StringIO | None = None,
    command: str = "provision_api_client",
) -> CommandResult:
    """Run a command in this process, like `manage.py lms`."""
    stdout, stderr = stdout or io.StringIO(), io.StringIO()
    source = io.BytesIO(stdin if isinstance(stdin, bytes) else stdin.encode())
    code = 0
    with (
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        mock.patch("sys.stdin", io.TextIOWrapper(source, "utf-8")),
        # The tests need the connection that a command closes at its end.
        mock.patch("django.core.management.base.connections"),
    ):
        try:
            load_command_class("edx_api_provisioning", command).run_from_argv(["manage.py", command, *arguments])
        except SystemExit as end:
            code = end.code
    return CommandResult(code, stdout.getvalue(), stderr.getvalue())


def provisioned(*arguments: str, **options: Any) -> dict[str, Any]:
    """Run a command that succeeds and return its JSON."""
    return run(*arguments, "--format", "json", **options).result


def mail_by(settings: Any, backend: str, **options: Any) -> None:
    """Send mail by this backend; each option has the name of a setting after ``EMAIL_``."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
        return
    settings.EMAIL_BACKEND = backend
    for name, value in options.items():
        setattr(settings, f"EMAIL_{name.upper()}", value)


def row_counts() -> dict[str, int]:
    """Return the number of rows in each table that a run may write to."""
    models = (get_user_model(), get_application_model(), get_access_token_model(), ApiClient, ApiClientEvent)
    # Of refusals there is an event and nothing else.
    refusals = ApiClientEvent.objects.filter(kind="refused").count()
    counts = {model.__name__: model._base_manager.count() for model in models}
    return {**counts, ApiClientEvent.__name__: counts[ApiClientEvent.__name__] - refusals}


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the SQL statements sent. The package keeps them out of Django's own log."""
    sent: list[str] = []

    def record(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        sent.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(record):
        yield sent
