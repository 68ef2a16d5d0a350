"""Every entry point of the project that handles secrets, with the data it needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.test import Client, override_settings

from edx_api_provisioning import api, tasks
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from tests.admin_client import Browser, make_superuser
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, run
from tests.leak_detection import OWN_SECRET, OWN_TOKEN, LeakDetector
from tests.lifecycle_helpers import issued_long_ago

OTHER_TOKEN = "other-token/with+signs.and~more_0123456789=="
MANIFEST = """
clients:
- name: new
  client_secret_from: env:MY_SECRET
- name: newer
"""
KNOWN = (OWN_SECRET, OWN_TOKEN, OTHER_TOKEN)
HOUR = timedelta(hours=1)


Action = Callable[[], list[str]]
"""Performs the action; returns its output except intended secrets, and hands pages to the leak detector."""
EntryPoint = Callable[[LeakDetector], Action]
"""Prepares the action, before any secret exists or anything changes."""


def create_rows() -> None:
    """Create a client with known secrets, and an application created by hand."""
    api.provision(
        ClientSpec(
            name="report",
            client_secret=Secret(OWN_SECRET),
            access_token=Secret(OWN_TOKEN),
            contact="owner@example.org",
            expires_in=timedelta(days=5),
        ),
        authority=OPERATOR,
    )
    issued_long_ago()
    by_hand = ApplicationFactory(name="by hand", client_id="by-hand", client_secret=OWN_SECRET)
    AccessTokenFactory(application=by_hand, token=OTHER_TOKEN)
    AccessTokenFactory(application=None, user=by_hand.user, token="nobody-s-" + OTHER_TOKEN)


def _command(command: str, *arguments: str, shows: bool = False, stdin: str = "") -> EntryPoint:
    """Return the entry point of a command; with ``shows`` its standard output may contain secrets."""

    def act() -> list[str]:
        ran = run(*arguments, command=command, stdin=stdin)
        return [ran.stderr] if shows else [ran.stdout, ran.stderr]

    return lambda _leak_detector: act


_OWN = ("--client-secret-from", "env:MY_SECRET", "--access-token-from", "stdin")
_NEW = f"new-{OWN_TOKEN}\n"


def _to_file(leak_detector: LeakDetector) -> Action:
    path = Path("credentials.json")
    leak_detector.delivered.add(path.absolute())

    def act() -> list[str]:
        path.unlink(missing_ok=True)
        ran = run("new", *_OWN, "--output", str(path), "--format", "json", stdin=_NEW)
        return [ran.stdout, ran.stderr]

    return act


def _page(page: str, **answers: Any) -> EntryPoint:
    """Return the entry point of an admin page about the client ``report``."""

    def entry_point(leak_detector: LeakDetector) -> Action:
        browser = _browser()
        opened = browser.open(page, f"client={_pk()}")
        leak_detector.pages.append(opened)
        return partial(_send, leak_detector, browser, opened, **answers)

    return entry_point


def _provision_page(leak_detector: LeakDetector) -> Action:
    browser = _browser()
    opened = browser.open("provision")
    preview = browser.send(opened, name="new", contact="owner@example.org")
    leak_detector.pages += [opened, preview]
    return partial(_send, leak_detector, browser, preview, _confirm="yes")


def _browser() -> Browser:
    """Return a superuser's browser that returns error pages instead of raising."""
    browser = Browser(make_superuser())
    browser.client.raise_request_exception = False
    return browser


def _send(leak_detector: LeakDetector, browser: Browser, page: HttpResponse, **answers: Any) -> list[str]:
    answer = browser.send(page, **answers)
    # A credentials page shows secrets in its body; its headers and context must not contain them.
    if answer.status_code == 200 and answer.headers.get("Referrer-Policy") == "no-referrer":
        answer.content = b""
    leak_detector.pages.append(answer)
    return []


def _rest(path: str, **body: Any) -> EntryPoint:
    """Return a REST API entry point; only the body of a success may contain secrets."""

    def entry_point(leak_detector: LeakDetector) -> Action:
        client = Client(raise_request_exception=False)
        client.force_login(make_superuser())
        ours = {**settings.EDX_API_PROVISIONING, "REST_API": True}

        def act() -> list[str]:
            with override_settings(EDX_API_PROVISIONING=ours):
                address = f"/api/api-provisioning/v1/{path}"
                answer = client.post(address, body, content_type="application/json", headers={"If-Match": "*"})
            if answer.status_code in (200, 201):
                answer.content = b""
            leak_detector.pages.append(answer)
            return []

        return act

    return entry_point


def _browse(leak_detector: LeakDetector) -> Action:
    browser, base = _browser(), "/admin/edx_api_provisioning"
    paths = ("apiclient/", f"apiclient/{_pk()}/change/", f"apiclient/{_pk()}/history/", "apiclientevent/")

    def act() -> list[str]:
        leak_detector.pages.extend(browser.get(f"{base}/{path}") for path in paths)
        return []

    return act


def _pk() -> int:
    return ApiClient.objects.values_list("pk", flat=True).get(name="report")


def _python(call: Callable[[], object]) -> EntryPoint:
    """Return the entry point of a service function; only ``reveal`` may return a secret."""

    def act() -> list[str]:
        result = call()
        return [repr(result), str(result), f"{result}"]

    return lambda _leak_detector: act


def _task(task: Any, *arguments: Any) -> EntryPoint:
    """Return the entry point of a task that writes credentials into a directory."""

    def entry_point(leak_detector: LeakDetector) -> Action:
        directory = Path("issued").absolute()

        def act() -> list[str]:
            shutil.rmtree(directory, ignore_errors=True)
            result = task.apply(arguments, {"directory": str(directory)})
            leak_detector.delivered |= {*directory.rglob("*.env")}
            return [repr(result.result), str(result.traceback)]

        return act

    return entry_point


def _spec() -> ClientSpec:
    return ClientSpec(name="new", client_secret=Secret(OWN_SECRET), access_token=Secret(_NEW.strip()))


ENTRY_POINTS: dict[str, EntryPoint] = {
    "provision": _command("provision_api_client", "new", *_OWN, "--format", "json", stdin=_NEW, shows=True),
    "provision, generated": _command("provision_api_client", "new", shows=True),
    "provision, into a file": _to_file,
    "provision, again": _command("provision_api_client", "report"),
    "provision, as a preview": _command("provision_api_client", "new", *_OWN, "--dry-run", stdin=_NEW),
    "a manifest": _command("provision_api_client", "--from-file", "-", stdin=MANIFEST, shows=True),
    "a manifest, as a plan": _command("provision_api_client", "--from-file", "-", "--plan", stdin=MANIFEST),
    "REST: provision": _rest("clients/", name="new"),
    "REST: rotate": _rest("clients/report/token/", grace="1h"),
    "rotate": _command("rotate_api_client", "report", "--token", "--secret", "--format", "env", shows=True),
    "rotate, with grace": _command("rotate_api_client", "report", "--token", "--secret", "--grace", "1h", shows=True),
    "rotate all": _command("rotate_api_client", "--expiring-within", "30d", shows=True),
    "verify a token": _command("verify_api_client", "--token-from", "stdin", stdin=OWN_TOKEN),
    "verify id and secret": _command(
        "verify_api_client", "--client-id", "by-hand", "--client-secret-from", "env:MY_SECRET"
    ),
    "verify a wrong secret": _command(
        "verify_api_client", "--client-id", "by-hand", "--client-secret-from", "stdin", stdin=OTHER_TOKEN
    ),
    "adopt": _command("adopt_api_client", "adopted", "--client-id", "by-hand"),
    "revoke": _command("revoke_api_client", "report"),
    "delete": _command("revoke_api_client", "report", "--delete"),
    "list": _command("list_api_clients", "--format", "json"),
    "list what nobody manages": _command("list_api_clients", "--unmanaged"),
    "notify": _command("notify_expiring_api_clients"),
    "Celery: notify": _python(lambda: tasks.notify_expiring.apply().result),
    "Celery: a manifest": _task(tasks.provision_manifest, MANIFEST),
    "Celery: rotate": _task(tasks.rotate_expiring, ["report"]),
    "admin: provision": _provision_page,
    "admin: rotate": _page("rotate", token="on", secret="on"),
    "admin: revoke": _page("revoke"),
    "admin: look": _browse,
    "Python: plan": _python(lambda: api.plan_client(_spec(), authority=OPERATOR)),
    "Python: provision": _python(lambda: api.provision(_spec(), authority=OPERATOR)),
    "Python: verify": _python(lambda: api.verify(api.provision(_spec(), authority=OPERATOR))),
    "Python: rotate": _python(lambda: api.rotate("report", secret=True, grace=HOUR, authority=OPERATOR)),
    "Python: examine": _python(lambda: api.examine(Secret(OWN_TOKEN))),
}
