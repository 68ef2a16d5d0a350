"""`make bench`: the cost of a manifest of many clients, beside single clients, beside users, and repeated.

Everything runs once in one database created for it, so that compared numbers come from the same machine. Ratios that
miss their target are marked, without failing.
"""

# ruff: noqa: S603 - it runs our own commands.
from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from bench import ROOT, circumstances, database

FEW, MANY, ALONE = 1_000, 10_000, 300
HASHED = 64


def timed(work: Callable[[], object]) -> tuple[float, int]:
    """Return seconds and statements."""
    from django.db import connection

    sent = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal sent
        sent += 1
        return execute(*arguments)

    began = time.perf_counter()
    with connection.execute_wrapper(count):
        work()
    return time.perf_counter() - began, sent


def specs(prefix: str, count: int) -> Iterator[Any]:
    from edx_api_provisioning.core.spec import ClientSpec

    return (ClientSpec(name=f"{prefix}-{number}", contact="ops@example.org") for number in range(count))


def alone(prefix: str, count: int) -> None:
    from edx_api_provisioning import api
    from edx_api_provisioning.core.authority import Authority

    for spec in specs(prefix, count):
        api.provision(spec, authority=Authority.operator("benchmark"), verify=False)


def together(prefix: str, count: int) -> None:
    from edx_api_provisioning import api
    from edx_api_provisioning.core.authority import Authority

    for applied in api.apply(specs(prefix, count), authority=Authority.operator("benchmark"), verify=False):
        if applied.error is not None:
            sys.exit(f"{applied.name}: {applied.error}")


def users(prefix: str, count: int) -> None:
    from django.contrib.auth import get_user_model

    for number in range(count):
        name = f"{prefix}-{number}"
        get_user_model().objects.create_user(name, f"{name}@example.org")


@contextmanager
def without_receivers() -> Iterator[None]:
    """Disconnect all receivers that would prevent bulk creation."""
    from django.db.models import signals

    listened = [signals.pre_save, signals.post_save]
    kept = [signal.receivers for signal in listened]
    try:
        for signal in listened:
            signal.receivers = []
            signal.sender_receivers_cache.clear()
        yield
    finally:
        for signal, receivers in zip(listened, kept, strict=True):
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()


def row(what: str, value: str, aim: str = "", *, missed: bool = False) -> None:
    print(f"  {what:<66} {value:>12}   {aim}{'  !' if missed else ''}", flush=True)


def peak(*command: str) -> float:
    """Return the peak memory of a management command in MB."""
    program = (
        "import json, resource, sys; sys.argv[0] = 'manage.py'; sys.argv.insert(1, 'lms');"
        "from runpy import run_path\n"
        "try: run_path('manage.py', run_name='__main__')\n"
        "except SystemExit as end:\n if end.code: raise\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(done.stderr.split()[-1]) / 1024


def rates() -> None:
    print("\nIn one process, without verification and output:")
    alone("warm", 5)
    together("warmer", 5)
    user_seconds, user_statements = timed(lambda: users("user", ALONE))
    alone_seconds, alone_statements = timed(lambda: alone("alone", ALONE))
    few_seconds, few_statements = timed(lambda: together("few", FEW))
    many_seconds, many_statements = timed(lambda: together("many", MANY))
    again_seconds, _statements = timed(lambda: together("many", MANY))

    for what, count, seconds, sent in (
        ("users alone, saved one by one", ALONE, user_seconds, user_statements),
        ("clients one by one", ALONE, alone_seconds, alone_statements),
        (f"{FEW:,} clients together", FEW, few_seconds, few_statements),
        (f"{MANY:,} clients together", MANY, many_seconds, many_statements),
    ):
        row(what, f"{count / seconds:,.0f}/s", f"{sent / count:.1f} statements each")
    row("rate together beside one by one", f"{(MANY / many_seconds) / (ALONE / alone_seconds):.2f}")
    # Exclude the work of the LMS's receivers for each user and token.
    with without_receivers():
        alone_seconds, _statements = timed(lambda: alone("without-receivers-alone", ALONE))
        together_seconds, statements = timed(lambda: together("without-receivers", FEW))
    ratio = (FEW / together_seconds) / (ALONE / alone_seconds)
    row("the same without receivers that run for each client", f"{ratio:.2f}", "at least 5", missed=ratio < 5)
    row("statements for each client then", f"{statements / FEW:.2f}")
    grown = many_seconds / few_seconds
    row(f"time of {MANY:,} beside {FEW:,}", f"{grown:.2f}", "at most 11", missed=grown > 11)
    beyond = many_statements / MANY - user_statements / ALONE
    row("statements for each client beyond those for its user", f"{beyond:.2f}", "at most 6", missed=beyond > 6)
    rate = MANY / again_seconds
    row(f"{MANY:,} unchanged", f"{rate:,.0f}/s", "at least 5,000/s on MariaDB", missed=rate < 5000)


def overprivileged() -> None:
    from django.core.management import call_command

    sent = {}
    print("\nlist_api_clients --overprivileged --format json:")
    for count in (10, FEW):
        together("drift", count)
        with redirect_stdout(io.StringIO()):
            seconds, sent[count] = timed(
                lambda: call_command("list_api_clients", "--overprivileged", "--format", "json")
            )
        row(f"statements for {count:,} clients", f"{sent[count]}", f"{seconds:.2f} s", missed=sent[count] != sent[10])


def memory(folder: Path) -> None:
    from edx_api_provisioning.adapters import oauth

    # A separate process hashes secrets like a site, which takes time.
    count = MANY if oauth.secret_hasher() is None else FEW
    print("\nThe command, a process of its own, for a file of YAML; with verification and a file for each:")
    path = folder / "bench-clients.yaml"
    described = "".join(f"- {{name: file-{number}, purpose: number {number}}}\n" for number in range(count))
    path.write_text(f"defaults: {{contact: ops@example.org}}\nclients:\n{described}")
    try:
        bare = peak("shell", "-c", "pass")
        options = ("--format", "env", "--output", str(folder / "bench-credentials"), "--verbosity", "0")
        began = time.perf_counter()
        made = peak("provision_api_client", "--from-file", str(path), *options)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        again = peak("provision_api_client", "--from-file", str(path), *options)
        row(f"{count:,} from a file", f"{count / seconds:,.0f}/s")
        row(f"{count:,} unchanged from a file", f"{count / (time.perf_counter() - began):,.0f}/s")
        beyond = max(made, again) - bare
        row("most memory beyond a bare process, MB", f"{beyond:.0f}", "at most 60", missed=beyond > 60)
    finally:
        path.unlink()
        shutil.rmtree(folder / "bench-credentials", ignore_errors=True)


def hashes() -> None:
    from django.contrib.auth.hashers import make_password

    from edx_api_provisioning.adapters import oauth

    if oauth.secret_hasher() is None:
        print("\nThis django-oauth-toolkit hashes no client secrets.")
        return
    secret = oauth.new_client_secret().reveal()
    seconds = [timed(lambda: make_password(secret))[0] for _round in range(5)]
    floor = HASHED * sorted(seconds)[2] / (os.cpu_count() or 1)
    took, _statements = timed(lambda: together("hashed", HASHED))
    ratio = took / floor
    row(
        f"time of {HASHED} clients relative to their hashes on all cores",
        f"{ratio:.2f}",
        "at most 1.25",
        missed=ratio > 1.25,
    )


def main() -> None:
    with database():
        from django.conf import settings
        from django.test import override_settings

        print(circumstances())
        hashes()
        # Hashing secrets would hide the rest.
        cheap = "django.contrib.auth.hashers.MD5PasswordHasher"
        with override_settings(PASSWORD_HASHERS=[cheap, *settings.PASSWORD_HASHERS]):
            overprivileged()
            rates()
        memory(Path(os.environ.get("TMPDIR", "/tmp")))  # noqa: S108 - a file without secrets, removed again


if __name__ == "__main__":
    main()
