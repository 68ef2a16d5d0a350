"""Every door of the project, with a house behind it: what is there before, how one enters, what one is shown."""

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
from tests.admin_client import Browser, root
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, run
from tests.leak_detection import OWN_SECRET, OWN_TOKEN, Ears

OTHER_TOKEN = "other-token/with+signs.and~more_0123456789=="
MANIFEST = """
clients:
- name: new
  client_secret_from: env:MY_SECRET
- name: newer
"""
KNOWN = (OWN_SECRET, OWN_TOKEN, OTHER_TOKEN)
HOUR = timedelta(hours=1)


Enter = Callable[[], list[str]]
"""Does it, and returns what it printed beside what it shows on purpose; pages and errors it leaves with the ears."""
Door = Callable[[Ears], Enter]
"""Comes to the door, as far as nothing is at hand that is secret or changes anything."""


def furnish() -> None:
    """What each door finds: a client with secrets of the test's own, and an application that somebody made by hand."""
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
    by_hand = ApplicationFactory(name="by hand", client_id="by-hand", client_secret=OWN_SECRET)
    AccessTokenFactory(application=by_hand, token=OTHER_TOKEN)
    AccessTokenFactory(application=None, user=by_hand.user, token="nobody-s-" + OTHER_TOKEN)


def _command(command: str, *arguments: str, shows: bool = False, stdin: str = "") -> Door:
    """A command; ``shows`` says that its standard output is for the operator who wants the secrets."""

    def enter() -> list[str]:
        ran = run(*arguments, command=command, stdin=stdin)
        return [ran.stderr] if shows else [ran.stdout, ran.stderr]

    return lambda _ears: enter


_OWN = ("--client-secret-from", "env:MY_SECRET", "--access-token-from", "stdin")
_NEW = f"new-{OWN_TOKEN}\n"


def _into_a_file(ears: Ears) -> Enter:
    path = Path("credentials.json")
    ears.delivered.add(path.absolute())

    def enter() -> list[str]:
        path.unlink(missing_ok=True)
        ran = run("new", *_OWN, "--output", str(path), "--format", "json", stdin=_NEW)
        return [ran.stdout, ran.stderr]

    return enter


def _page(page: str, **answers: Any) -> Door:
    """One of the admin's pages, about the client ``report``, filled in and sent."""

    def door(ears: Ears) -> Enter:
        browser = _browser()
        opened = browser.open(page, f"client={_pk()}")
        ears.pages.append(opened)
        return partial(_send, ears, browser, opened, **answers)

    return door


def _provision_page(ears: Ears) -> Enter:
    browser = _browser()
    opened = browser.open("provision")
    preview = browser.send(opened, name="new", contact="owner@example.org")
    ears.pages += [opened, preview]
    return partial(_send, ears, browser, preview, _confirm="yes")


def _browser() -> Browser:
    """Of somebody who may do everything, and is shown the pages of errors."""
    browser = Browser(root())
    browser.client.raise_request_exception = False
    return browser


def _send(ears: Ears, browser: Browser, page: HttpResponse, **answers: Any) -> list[str]:
    answer = browser.send(page, **answers)
    # A page of credentials shows them; what comes with it may not, nor may what it was made of.
    if answer.status_code == 200 and answer.headers.get("Referrer-Policy") == "no-referrer":
        answer.content = b""
    ears.pages.append(answer)
    return []


def _rest(path: str, **body: Any) -> Door:
    """The REST API; what it shows on purpose is the body of a success."""

    def door(ears: Ears) -> Enter:
        client = Client(raise_request_exception=False)
        client.force_login(root())
        ours = {**settings.EDX_API_PROVISIONING, "REST_API": True}

        def enter() -> list[str]:
            with override_settings(EDX_API_PROVISIONING=ours):
                address = f"/api/api-provisioning/v1/{path}"
                answer = client.post(address, body, content_type="application/json")
            if answer.status_code in (200, 201):
                answer.content = b""
            ears.pages.append(answer)
            return []

        return enter

    return door


def _looking_around(ears: Ears) -> Enter:
    browser, base = _browser(), "/admin/edx_api_provisioning"
    paths = ("apiclient/", f"apiclient/{_pk()}/change/", f"apiclient/{_pk()}/history/", "apiclientevent/")

    def enter() -> list[str]:
        ears.pages.extend(browser.get(f"{base}/{path}") for path in paths)
        return []

    return enter


def _pk() -> int:
    return ApiClient.objects.values_list("pk", flat=True).get(name="report")


def _python(call: Callable[[], object]) -> Door:
    """A service function: who calls it gets no secret from anything that it returns but by ``reveal``."""

    def enter() -> list[str]:
        result = call()
        return [repr(result), str(result), f"{result}"]

    return lambda _ears: enter


def _by_celery(task: Any, *arguments: Any) -> Door:
    """A task that writes credentials to files of a directory."""

    def door(ears: Ears) -> Enter:
        directory = Path("issued").absolute()

        def enter() -> list[str]:
            shutil.rmtree(directory, ignore_errors=True)
            result = task.apply(arguments, {"directory": str(directory)})
            ears.delivered |= {*directory.rglob("*.env")}
            return [repr(result.result), str(result.traceback)]

        return enter

    return door


def _spec() -> ClientSpec:
    return ClientSpec(name="new", client_secret=Secret(OWN_SECRET), access_token=Secret(_NEW.strip()))


DOORS: dict[str, Door] = {
    "provision": _command("provision_api_client", "new", *_OWN, "--format", "json", stdin=_NEW, shows=True),
    "provision, generated": _command("provision_api_client", "new", shows=True),
    "provision, into a file": _into_a_file,
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
    "Celery: a manifest": _by_celery(tasks.provision_manifest, MANIFEST),
    "Celery: rotate": _by_celery(tasks.rotate_expiring, ["report"]),
    "admin: provision": _provision_page,
    "admin: rotate": _page("rotate", token="on", secret="on"),
    "admin: revoke": _page("revoke"),
    "admin: look": _looking_around,
    "Python: plan": _python(lambda: api.plan_client(_spec(), authority=OPERATOR)),
    "Python: provision": _python(lambda: api.provision(_spec(), authority=OPERATOR)),
    "Python: rotate": _python(lambda: api.rotate("report", secret=True, grace=HOUR, authority=OPERATOR)),
    "Python: examine": _python(lambda: api.examine(Secret(OWN_TOKEN))),
}
