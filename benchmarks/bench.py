"""`make bench`: the cost of provision_api_client, beside doing nothing and beside the commands it replaces.

Whole processes are timed, in turn, so that all run under the same load. They use SQLite or the server in DATABASE_URL,
with a database created for the run. Slow results do not fail.
"""

# ruff: noqa: S603 - it runs our own commands.
from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ROUNDS = 15

NOTHING = ("shell", "-c", "pass")
# One line of Python, as many guides show it.
ISSUE = (
    "from datetime import timedelta; from django.utils.timezone import now; from oauthlib.common import generate_token;"
    "from oauth2_provider.models import AccessToken, Application; application = Application.objects.get(name='{name}');"
    "AccessToken.objects.create(application=application, user=application.user, token=generate_token(),"
    " expires=now() + timedelta(days=365), scope='read write email profile')"
)


class Cost(NamedTuple):
    """Seconds of elapsed and of processor time."""

    wall: float
    cpu: float


def run(*arguments: str) -> str:
    """Run a Python script that must succeed, and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}\nended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout


def cost(*commands: tuple[str, ...]) -> Cost:
    """Measure management commands, each in its own process, one after the other."""
    cpu, wall = _cpu(), time.perf_counter()
    for command in commands:
        run("manage.py", "lms", *command)
    return Cost(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def statements(*command: str) -> list[str]:
    """Return the statements that the command sends to the database."""
    sent: list[str] = json.loads(run("benchmarks/statements.py", *command))
    return sent


@contextmanager
def database() -> Iterator[None]:
    """Create a migrated database for this process and its children; drop it afterwards."""
    paths = [str(HERE), str(ROOT / "sandbox"), str(ROOT)]
    sys.path[:0] = paths
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        # Without PYTHONDONTWRITEBYTECODE and others, which would measure Python's compiler.
        del os.environ[name]
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "DJANGO_SETTINGS_MODULE": "bench_settings"}

    import django

    django.setup()
    from django.db import connection

    original = connection.settings_dict["NAME"]
    os.environ["BENCH_DATABASE"] = connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        connection.close()
        yield
    finally:
        connection.creation.destroy_test_db(original, verbosity=0)


def circumstances() -> str:
    from django.db import connection

    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SELECT version()")
        (database_version,) = cursor.fetchone()
    connection.close()
    packages = ("Django", "django-oauth-toolkit", "djangorestframework", "edx-api-provisioning")
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.system()} {platform.release()}, {os.cpu_count()} cores of "
        f"{model[1] if model else platform.machine()}, load {os.getloadavg()[0]:.1f}\n"
        f"{', '.join(f'{name} {version(name)}' for name in packages)}\n"
        f"Python {platform.python_version()}, {connection.vendor} {database_version}"
    )


def user_pk(username: str) -> str:
    """Return the user key that createapplication needs; looking it up is not counted."""
    from django.contrib.auth import get_user_model
    from django.db import connection

    pk = get_user_model().objects.values_list("pk", flat=True).get(username=username)
    connection.close()
    return str(pk)


def old_user(name: str) -> tuple[str, ...]:
    return ("manage_user", name, f"{name}@example.org", "--unusable-password")


def old_application_and_token(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    application = ("createapplication", "confidential", "client-credentials", "--name", name, "--user", user_pk(name))
    return application, ("shell", "-c", ISSUE.format(name=name))


def count_statements() -> None:
    unverified = statements("provision_api_client", "count-unverified", "--no-verify")
    verified = statements("provision_api_client", "count-verified")
    unchanged = statements("provision_api_client", "count-verified")
    before = statements(*old_user("count-before"))
    for command in old_application_and_token("count-before"):
        before += statements(*command)

    print("\nSQL statements, savepoints included                        target")
    rows = [
        ("provision_api_client, a new client", len(unverified), "at most 20"),
        ("  with verification", len(verified), ""),
        ("provision_api_client, unchanged", len(unchanged), "at most 6"),
        ("manage_user, createapplication, shell", len(before), ""),
    ]
    for what, count, target in rows:
        print(f"  {what:<44} {count:>9}   {target}")
    for title, sent in (("A new client, with verification", verified), ("Unchanged", unchanged)):
        print(f"\n{title}:")
        for number, sql in enumerate(sent, 1):
            print(f"  {number:>2} {shortened(sql)}")


def shortened(sql: str) -> str:
    """Return the statement without its columns."""
    sql = re.sub(r"[\"`]", "", sql)
    sql = re.sub(r"^SELECT .*? FROM ", "SELECT ... FROM ", sql, flags=re.DOTALL)
    sql = re.sub(r"^INSERT INTO (\S+).*", r"INSERT INTO \1", sql, flags=re.DOTALL)
    sql = re.sub(r"^UPDATE (\S+) SET .* WHERE ", r"UPDATE \1 SET ... WHERE ", sql, flags=re.DOTALL)
    sql = re.sub(r"(SAVEPOINT) \S+", r"\1", sql)
    return sql if len(sql) <= 110 else sql[:107] + "..."


# A user, an application and a token, and the classes that verify them: no plan, lock, history or output.
BY_HAND = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils.timezone import now
from oauth2_provider.models import get_access_token_model, get_application_model
from oauth2_provider.oauth2_validators import OAuth2Validator
from rest_framework.authentication import BaseAuthentication
user = User.objects.create_user("{name}", "{name}@example.org")
application = get_application_model().objects.create(
    user=user, client_type="confidential", authorization_grant_type="client-credentials"
)
get_access_token_model().objects.create(
    user=user, application=application, token="{name}", expires=now() + timedelta(days=365)
)
"""


def time_commands() -> None:
    print(f"\n{ROUNDS} rounds of timing, which take some minutes.", flush=True)
    cost(NOTHING, ("provision_api_client", "time-unchanged"), ("provision_api_client", "time-warm-up"))
    nothing, by_hand, new, unchanged, before = [], [], [], [], []
    for number in range(ROUNDS):
        nothing.append(cost(NOTHING))
        by_hand.append(cost(("shell", "-c", BY_HAND.format(name=f"by-hand-{number}"))))
        new.append(cost(("provision_api_client", f"time-{number}")))
        unchanged.append(cost(("provision_api_client", "time-unchanged")))
        user = cost(old_user(f"before-{number}"))
        rest = cost(*old_application_and_token(f"before-{number}"))
        before.append(Cost(user.wall + rest.wall, user.cpu + rest.cpu))

    print("\nMedian seconds                                  waiting    CPU   ratio (CPU)   target")
    for what, costs, base, target in (
        ("shell -c pass", nothing, nothing, ""),
        ("shell -c, the least work possible", by_hand, nothing, ""),
        ("provision_api_client, a new client", new, nothing, "at most 1.05 of shell"),
        ("provision_api_client, unchanged", unchanged, nothing, "at most 1.05 of shell"),
        ("manage_user, createapplication, shell", before, new, "at least 2.8 of a new client"),
    ):
        here, there = medians(costs), medians(base)
        ratios = f"{here.wall / there.wall:.2f} ({here.cpu / there.cpu:.2f})"
        print(f"  {what:<44} {here.wall:>7.3f} {here.cpu:>7.3f}   {ratios:<11}   {target}".rstrip())


def medians(costs: list[Cost]) -> Cost:
    return Cost(median(one.wall for one in costs), median(one.cpu for one in costs))


def main() -> None:
    with database():
        print(circumstances())
        count_statements()
        time_commands()


if __name__ == "__main__":
    main()
