"""`make bench`: the cost of each command beside 1,000 and beside 1,000,000 unrelated access tokens.

Every command is timed in two databases in turn, so that both run under the same load. It runs in this process: the
start of a process costs the same with either database and would hide the difference. Then the query plan of each
statement that touches the token table is printed.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from bench import circumstances, database

ROUNDS = 25
SMALL, LARGE = 1_000, 1_000_000
AT_MOST = 1.2
SECRET = "a-secret-of-the-benchmark-0123456789"  # noqa: S105 - of a database that is thrown away

# The user of the admin pages.
BROWSER: dict[str, Any] = {}

Call = Callable[[str], object]


class Work(NamedTuple):
    """Work to time, and its preparation, each for a client with its own name."""

    what: str
    prepare: Call
    run: Call


def command(*argv: str, **options: Any) -> str:
    from django.core.management import CommandError, call_command

    out = io.StringIO()
    try:
        call_command(*argv, stdout=out, stderr=io.StringIO(), **options)
    except CommandError as error:  # Exit code 1
        sys.exit(f"{' '.join(argv)}: {error}")
    return out.getvalue()


def nothing(_name: str) -> None:
    pass


def provisioned(name: str) -> None:
    from edx_api_provisioning import api
    from edx_api_provisioning.core.authority import Authority
    from edx_api_provisioning.core.secrets import Secret
    from edx_api_provisioning.core.spec import ClientSpec

    spec = ClientSpec(name=name, contact="owner@example.org", client_id=f"id-{name}", client_secret=Secret(SECRET))
    credentials = api.provision(spec, authority=Authority.operator("benchmark"))
    assert credentials.access_token is not None  # noqa: S101 - for the type checker
    os.environ["BENCH_TOKEN"], os.environ["BENCH_SECRET"] = credentials.access_token.reveal(), SECRET


def created_by_hand(name: str) -> None:
    from django.contrib.auth import get_user_model
    from oauth2_provider.models import get_access_token_model, get_application_model

    user = get_user_model().objects.create_user(name, f"{name}@example.org")
    application = get_application_model().objects.create(
        name=name,
        user=user,
        client_id=f"id-{name}",
        client_secret=SECRET,
        client_type="confidential",
        authorization_grant_type="client-credentials",
    )
    get_access_token_model().objects.create(application=application, user=user, token=f"token-{name}", **_end(days=400))


def with_predecessor(name: str) -> None:
    provisioned(name)
    command("rotate_api_client", name, "--token", "--secret", "--grace", "1h")


def expiring(name: str) -> None:
    from edx_api_provisioning.models import ApiClient

    provisioned(name)
    command("rotate_api_client", name, "--expires-in", "12h")
    ApiClient.objects.filter(name=name).update(token_issued=datetime.now(UTC) - timedelta(days=1))


def overdue(name: str) -> None:
    from edx_api_provisioning.models import ApiClient

    with_predecessor(name)
    ApiClient.objects.filter(name=name).update(predecessor_ends=datetime.now(UTC))


def open_in_admin(name: str) -> None:
    """Create a client for the admin pages, and a logged-in user who requests them."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    provisioned(name)
    users = get_user_model()
    rights = {"email": "root@example.org", "is_staff": True, "is_superuser": True}
    root, _created = users.objects.get_or_create(username="root", defaults=rights)
    BROWSER["of root"] = Client(headers={"host": "localhost"})
    BROWSER["of root"].force_login(root)


def page(path: str) -> Call:
    """Request an admin page; ``PK`` stands for the client's key."""

    def get(name: str) -> None:
        from edx_api_provisioning.models import ApiClient

        pk = str(ApiClient.objects.values_list("pk", flat=True).get(name=name)) if "PK" in path else ""
        answer = BROWSER["of root"].get(f"/admin/edx_api_provisioning/apiclient/{path.replace('PK', pk)}")
        if answer.status_code != 200:
            sys.exit(f"{path}: status {answer.status_code}")

    return get


def _end(**span: int) -> dict[str, datetime]:
    return {"expires": datetime.now(UTC) + timedelta(**span)}


def works() -> list[Work]:
    def of(*argv: str) -> Call:
        return lambda name: command(*[name if word == "NAME" else word for word in argv])

    return [
        Work("provision NAME, a new client", nothing, of("provision_api_client", "NAME")),
        Work("provision NAME, unchanged", provisioned, of("provision_api_client", "NAME")),
        Work("rotate NAME", provisioned, of("rotate_api_client", "NAME")),
        Work("rotate NAME --secret", provisioned, of("rotate_api_client", "NAME", "--secret")),
        Work("rotate NAME --grace 1h", provisioned, of("rotate_api_client", "NAME", "--grace", "1h")),
        Work(
            "rotate NAME --token --secret --grace 1h",
            provisioned,
            of("rotate_api_client", "NAME", "--token", "--secret", "--grace", "1h"),
        ),
        Work("rotate NAME, with a predecessor overdue", overdue, of("rotate_api_client", "NAME")),
        Work("rotate --expiring-within 1d", expiring, of("rotate_api_client", "--expiring-within", "1d")),
        Work("revoke NAME", provisioned, of("revoke_api_client", "NAME")),
        Work("revoke NAME --retire", provisioned, of("revoke_api_client", "NAME", "--retire")),
        Work("revoke NAME --delete", with_predecessor, of("revoke_api_client", "NAME", "--delete")),
        Work(
            "adopt NAME",
            created_by_hand,
            lambda name: command("adopt_api_client", name, "--client-id", f"id-{name}"),
        ),
        Work("list", nothing, of("list_api_clients")),
        Work("list --expiring-within 30d", nothing, of("list_api_clients", "--expiring-within", "30d")),
        Work("list --expired", nothing, of("list_api_clients", "--expired")),
        Work("list --overprivileged", nothing, of("list_api_clients", "--overprivileged")),
        Work("list --unmanaged", created_by_hand, of("list_api_clients", "--unmanaged")),
        Work("verify NAME", provisioned, of("verify_api_client", "NAME")),
        Work("verify --token-from", provisioned, of("verify_api_client", "--token-from", "env:BENCH_TOKEN")),
        Work(
            "verify --client-id --client-secret-from",
            provisioned,
            lambda name: command(
                "verify_api_client", "--client-id", f"id-{name}", "--client-secret-from", "env:BENCH_SECRET"
            ),
        ),
        Work("notify", expiring, of("notify_expiring_api_clients")),
        Work("the admin's list", open_in_admin, page("")),
        Work("the admin's list, by next expiry", open_in_admin, page("?o=5")),
        Work("the admin's list, expires within 30 days", open_in_admin, page("?expires=soon")),
        Work("the admin's list, searched", open_in_admin, page("?q=w1")),
        Work("the admin's page of a client", open_in_admin, page("PK/change/")),
        Work("the admin's history of a client", open_in_admin, page("PK/history/")),
        Work("the admin's form to rotate", open_in_admin, page("rotate/?client=PK")),
    ]


def token_table() -> str:
    from oauth2_provider.models import get_access_token_model

    return str(get_access_token_model()._meta.db_table)


def load(count: int) -> None:
    """Fill the table with user tokens: create a thousand one by one, and copy the others from them."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from oauth2_provider.models import get_access_token_model, get_application_model

    users, applications, tokens = get_user_model(), get_application_model(), get_access_token_model()
    users.objects.bulk_create(users(username=f"person-{n}", email=f"{n}@example.org") for n in range(SMALL))
    applications.objects.bulk_create(
        applications(name=f"app-{n}", client_id=f"app-{n}", authorization_grant_type="password") for n in range(100)
    )
    people, apps = [*users.objects.order_by("pk")], [*applications.objects.order_by("pk")]
    rows = (
        tokens(user=person, application=apps[n % len(apps)], token=f"of-person-{n}", **_end(days=n % 60 - 30))
        for n, person in enumerate(people)
    )
    tokens.objects.bulk_create(rows)

    quote, joined = (
        connection.ops.quote_name,
        "CONCAT(%s, '-', n)" if connection.vendor == "mysql" else "%s || '-' || n",
    )
    columns = [quote(field.column) for field in tokens._meta.concrete_fields if not field.primary_key]
    values = dict(zip(columns, columns, strict=True)) | {quote("token"): joined % quote("token")}
    if (checksum := quote("token_checksum")) in columns:
        values[checksum] = joined % f"SUBSTR({checksum}, 1, 56)"
    table = quote(token_table())
    with connection.cursor() as cursor:
        if count > SMALL:
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values.values())} FROM {table} "  # noqa: S608
                f"CROSS JOIN (SELECT id AS n FROM {table} ORDER BY id LIMIT {count // SMALL - 1}) AS numbers"
            )
        cursor.execute(f"ANALYZE {'TABLE ' if connection.vendor == 'mysql' else ''}{table}")
    if tokens.objects.count() != count:
        sys.exit(f"The table of tokens has {tokens.objects.count()} rows and not {count}.")


@contextmanager
def databases() -> Iterator[dict[int, str]]:
    """Return the name of a database for each size."""
    from django.conf import settings
    from django.db import connection

    names, original = {SMALL: str(connection.settings_dict["NAME"])}, settings.DATABASES["default"]["NAME"]
    test = connection.settings_dict["TEST"]
    usual = test["NAME"]
    test["NAME"] = f"{usual}_large"
    names[LARGE] = connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield names
    finally:
        switch(names[LARGE])
        connection.creation.destroy_test_db(original, verbosity=0)
        test["NAME"] = usual
        switch(names[SMALL])


def switch(name: str) -> None:
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = name
    connection.ensure_connection()


def time_works(names: dict[int, str]) -> None:
    times: dict[tuple[str, int], list[float]] = {}
    for number in range(ROUNDS + 1):  # Warm up first.
        for position, work in enumerate(works()):
            for size in sorted(names, reverse=bool(number % 2)):
                switch(names[size])
                name = f"w{position}-{number}"
                work.prepare(name)
                began = time.perf_counter()
                work.run(name)
                if number > 0:
                    times.setdefault((work.what, size), []).append(time.perf_counter() - began)

    print(
        f"\n{f'Median milliseconds of {ROUNDS} rounds':<44} {SMALL:>9,} {LARGE:>9,} tokens beside   at most {AT_MOST}"
    )
    for work in works():
        small, large = (median(times[work.what, size]) * 1000 for size in (SMALL, LARGE))
        mark = "  !" * (large / small > AT_MOST)
        print(f"  {work.what:<42} {small:>9.1f} {large:>9.1f}                 {large / small:.2f}{mark}")


def explain(name: str) -> None:
    """Return the query plan of each statement that touches the token table."""
    from django.db import connection

    prefix, table = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ", token_table()
    plans: dict[str, tuple[str, list[str]]] = {}
    current = ""

    def statement(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        shape = shortened(sql)
        if table in sql and sql.startswith(("SELECT", "UPDATE", "DELETE")) and shape not in plans:
            with connection.cursor() as cursor:  # Before running it: its rows exist then.
                cursor.execute(prefix + sql, params)
                plans[shape] = current, accesses(cursor.fetchall(), sql)
        return execute(sql, params, many, context)

    switch(name)
    for position, work in enumerate(works()):
        current = work.what
        work.prepare(f"plan-{position}")
        with connection.execute_wrapper(statement):
            work.run(f"plan-{position}")

    print(f"\nQuery plans for {table} with {LARGE:,} tokens:")
    for shape, (seen, found) in plans.items():
        print(f"  {shape}\n    first seen in: {seen}")
        for line in found:
            print(f"    {'! ' * bool(re.search(r'Seq Scan|SCAN|: (ALL|index) ', line))}{line}")


def accesses(plan: list[tuple[Any, ...]], sql: str) -> list[str]:
    """Return the lines of a plan that access the token table, by name or alias."""
    from django.db import connection

    table = token_table()
    names = {table, *re.findall(rf"{table}[\"`] ([A-Z]\d+)", sql)}
    if connection.vendor == "mysql":
        rows = [(row[2], row[3], row[5], row[8], row[9]) for row in plan if row[2] in names or row[2] is None]
        return [f"{name or '-'}: {how} by {key}, about {rows} rows; {extra}" for name, how, key, rows, extra in rows]
    lines = [str(row[-1]).strip() for row in plan]
    return [line for line in lines if any(re.search(rf"\b{name}\b", line) for name in names)]


def shortened(sql: str) -> str:
    """Return the statement without its columns and the number of its parameters."""
    sql = re.sub(r"[\"`]", "", sql)
    sql = re.sub(r"^SELECT .*? FROM (?!\w+ U0)", "SELECT ... FROM ", sql, flags=re.DOTALL)
    sql = re.sub(r"^UPDATE (\S+) SET .*? WHERE ", r"UPDATE \1 SET ... WHERE ", sql, flags=re.DOTALL)
    return re.sub(r"\(%s(, %s)+\)", "(%s, ...)", sql)


def main() -> None:
    with database():
        from django.conf import settings

        settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
        print(circumstances())
        with databases() as names:
            for size, name in names.items():
                switch(name)
                load(size)
            time_works(names)
            explain(names[LARGE])


if __name__ == "__main__":
    main()
