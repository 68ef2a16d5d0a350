"""Test loading, searching, evaluating and applying the access catalogue. tests/contract/ tests its content."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.adapters.access_catalogue import Answer, Endpoint
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.spec import ClientSpec

pytestmark = pytest.mark.versions

DOCS = Path(__file__).parents[2] / "docs"
COURSE = "course-v1:edX+DemoX+2026"
ESCAPED = "course-v1%3AedX%2BDemoX%2B2026"
MORE = {
    "title": "Read reports",
    "why": "They are ours.",
    "opens": [
        "list courses",
        {
            "name": "read a report",
            "method": "GET",
            "path": "/reports/{report}/",
            "auth": ["jwt"],
            "rights": [["permission:reports.view_report"]],
            "checked_in": "reports/views.py",
        },
    ],
    "grants": {"permissions": {"reports.view_report": "the view asks for it"}},
}


def endpoint(*rights: set[str], untried: tuple[set[str], ...] = (), **fields: Any) -> Endpoint:
    return Endpoint(
        **{
            "name": "an endpoint",
            "method": "GET",
            "path": "/",
            "auth": ("bearer",),
            "rights": tuple(map(frozenset, rights)),
            "untried": tuple(map(frozenset, untried)),
            "checked_in": "views.py",
            **fields,
        }
    )


# Finding


@pytest.mark.parametrize(
    "path",
    [
        f"/api/course_modes/v1/courses/{COURSE}/",
        f"/api/course_modes/v1/courses/{ESCAPED}/",
        f"https://lms.example.org/api/course_modes/v1/courses/{ESCAPED}/",
        f"/api/course_modes/v1/courses/{COURSE}/?page=2",
    ],
)
def test_find_endpoint_ignores_url_spelling(path: str) -> None:
    found = access_catalogue.find_endpoint("get", path)
    assert (found.name, found.path) == ("read course modes", f"/api/course_modes/v1/courses/{ESCAPED}/")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/api/user/v1/accounts?email=a@b.org", "find an account by email"),
        ("GET", "/api/user/v1/accounts?username=a,b", "read accounts by name"),
        ("GET", "/api/user/v1/accounts/retirement_queue/?cool_off_days=1", "read the retirement queue"),
        ("GET", "/api/user/v1/accounts/retirement_queue", "read an account"),
        ("PATCH", "/api/user/v1/accounts/somebody", "change an account"),
        ("GET", f"/api/enrollment/v1/enrollment/somebody,{COURSE}", "read an enrollment"),
        ("GET", f"/api/enrollment/v1/enrollment/{COURSE}", "read an enrollment of one's own"),
        ("GET", "/api/courses/v1/courses/", "list courses"),
        ("GET", "/api/courses/v1/courses/?username=somebody", "list courses as another user sees them"),
    ],
)
def test_find_endpoint_by_method_path_query(method: str, path: str, name: str) -> None:
    assert access_catalogue.find_endpoint(method, path).name == name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/user/v1/me"),
        ("GET", "/api/user/v1/me/more"),
        ("GET", "/api/user/v1/accounts"),
        ("GET", "http://[broken"),
        ("GET", ""),
    ],
)
def test_unknown_endpoint_is_not_found(method: str, path: str) -> None:
    assert access_catalogue.find_endpoint(method, path) is None


def test_url_values_fill_rights() -> None:
    found = access_catalogue.find_endpoint("GET", f"/api/grades/v1/courses/{ESCAPED}/?username=somebody%2B1")
    assert frozenset({"username:somebody+1"}) in found.rights
    assert frozenset({"restricted", "scope:grades:read", "filter:content_org:edX"}) in found.untried
    assert found.unknown == ()


def test_plus_in_query_is_kept() -> None:
    found = access_catalogue.find_endpoint("GET", f"/api/ccx/v0/ccx/?master_course_id={COURSE}")
    assert found.path == f"/api/ccx/v0/ccx/?master_course_id={ESCAPED}"
    assert frozenset({f"course_role:staff@{COURSE}"}) in found.rights


def test_endpoint_lists_unknown_parameters() -> None:
    (found,) = (each for each in access_catalogue.endpoints() if each.name == "read a certificate")
    assert found.unknown == ("username", "course_key")
    assert found.fill({"username": "somebody"}).unknown == ("course_key",)


# Judging


@pytest.mark.parametrize(
    ("rights", "answer"),
    [
        (set(), Answer.REFUSED),
        ({"staff"}, Answer.ALLOWED),
        ({"restricted"}, Answer.REFUSED),
        ({"restricted", "staff"}, Answer.REFUSED),
        ({"restricted", "scope:a"}, Answer.REFUSED),
        ({"restricted", "scope:a", "filter:content_org:edX"}, Answer.ALLOWED),
        ({"restricted", "scope:a", "filter:content_org:MITx"}, Answer.REFUSED),
        ({"scope:a", "filter:content_org:edX"}, Answer.REFUSED),
    ],
)
def test_restricted_client_needs_scopes(rights: set[str], answer: Answer) -> None:
    asked = endpoint({"staff"}, {"restricted", "scope:a", "filter:content_org:edX"})
    assert access_catalogue.allows(rights, asked) is answer


@pytest.mark.parametrize(
    ("rights", "answer"),
    [
        ({f"course_role:staff@{COURSE}"}, Answer.ALLOWED),
        ({"course_role:staff@course-v1:edX+Other+2026"}, Answer.REFUSED),
        ({"course_role:staff@edX"}, Answer.ALLOWED),
        ({"course_role:staff@MITx"}, Answer.REFUSED),
        ({f"course_role:instructor@{COURSE}"}, Answer.REFUSED),
        ({f"course_role:beta@{COURSE}"}, Answer.NOT_DETERMINED),
    ],
)
def test_course_role_covers_course_and_org(rights: set[str], answer: Answer) -> None:
    role, org = {"course_role:staff@{course_key}"}, {"course_role:staff@{org}"}
    asked = endpoint(role, org, untried=({"course_role:beta@{course_key}"},)).fill({"course_key": COURSE})
    assert access_catalogue.allows(rights, asked) is answer


@pytest.mark.parametrize(
    ("rights", "answer"),
    [
        ({f"course_role:staff@{COURSE}"}, Answer.NOT_DETERMINED),
        ({"course_role:staff@edX"}, Answer.REFUSED),
        ({"course_role:staff"}, Answer.REFUSED),
        (set(), Answer.REFUSED),
    ],
)
def test_course_role_without_course_is_unsure(rights: set[str], answer: Answer) -> None:
    assert access_catalogue.allows(rights, endpoint({"course_role:staff@{course_key}"})) is answer


@pytest.mark.parametrize(
    ("rights", "alternatives", "answer"),
    [
        ({"superuser"}, [{"permission:a.b"}], Answer.ALLOWED),
        ({"superuser"}, [{"staff", "permission:a.b"}], Answer.REFUSED),
        (set(), [{f"forum_role:Moderator@{COURSE}"}], Answer.NOT_DETERMINED),
        ({"staff"}, [{"forum_role:Moderator@x"}, {"staff"}], Answer.ALLOWED),
        (set(), [set()], Answer.ALLOWED),
        ({"restricted"}, [set()], Answer.REFUSED),
        ({"superuser", "staff"}, [], Answer.REFUSED),
    ],
)
def test_one_alternative_has_to_be_held(rights: set[str], alternatives: list[set[str]], answer: Answer) -> None:
    assert access_catalogue.allows(rights, endpoint(*alternatives)) is answer


@pytest.mark.parametrize(
    ("status", "hidden", "answer"),
    [
        (200, False, Answer.ALLOWED),
        (204, True, Answer.ALLOWED),
        (400, False, Answer.ALLOWED),
        (404, False, Answer.ALLOWED),
        (404, True, Answer.NOT_DETERMINED),
        (401, False, Answer.REFUSED),
        (403, True, Answer.REFUSED),
        (302, False, Answer.NOT_DETERMINED),
        (405, False, Answer.NOT_DETERMINED),
        (429, False, Answer.NOT_DETERMINED),
        (500, False, Answer.NOT_DETERMINED),
    ],
)
def test_status_code_gives_answer(status: int, hidden: bool, answer: Answer) -> None:
    assert endpoint(hidden=hidden).answered(status) is answer


# Profiles


def test_unknown_profile_lists_known_ones() -> None:
    with pytest.raises(InvalidSpec) as caught:
        access_catalogue.profile("nonsense")
    assert caught.value.field == "profile"
    assert "course-modes, course-visibility" in caught.value.message


def test_profile_apply_keeps_chosen_values() -> None:
    spec = ClientSpec(name="report", scopes=("read",), filters=("content_org:MITx", "content_org:edX"))
    assert access_catalogue.profile("grades").apply(spec) == ClientSpec(
        name="report",
        profile="grades",
        restricted=True,
        scopes=("read", "grades:read"),
        filters=("content_org:MITx", "content_org:edX"),
        permissions=(),
        groups=(),
        course_roles=(),
        global_roles=(),
    )


def test_profile_apply_is_idempotent() -> None:
    profile = access_catalogue.profile("commerce")
    once = profile.apply(ClientSpec())
    assert once.permissions == ("course_modes.change_coursemode",)
    assert profile.apply(once) == once


@pytest.mark.parametrize(
    ("name", "given", "field"),
    [
        ("grades", {}, "filters"),
        ("grades", {"filters": ("content_org:a+b",)}, "filters"),
        ("third-party-auth", {"filters": ("content_org:edX",)}, "filters"),
        ("gradebook", {"course_roles": (f"staff@{COURSE}",)}, "course_roles"),
        ("gradebook", {"course_roles": ("limited_staff@edX",)}, "course_roles"),
        ("retirement", {"username": "somebody"}, "username"),
        ("grades", {"filters": ("content_org:edX",), "expires_in": timedelta(days=1)}, "expires_in"),
    ],
)
def test_profile_rejects_conflicting_options(name: str, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        access_catalogue.profile(name).apply(ClientSpec(**given))
    assert caught.value.field == field


def test_retirement_worker_comes_from_setting(settings: Any) -> None:
    settings.RETIREMENT_SERVICE_WORKER_USERNAME = 'the "worker"'
    assert access_catalogue.profile("retirement").apply(ClientSpec()).username == 'the "worker"'
    assert (
        access_catalogue.allows(
            {'username:the "worker"'}, access_catalogue.find_endpoint("GET", "/api/user/v1/accounts/retirement_queue/")
        )
        is Answer.ALLOWED
    )


def test_missing_retirement_setting_is_named(settings: Any) -> None:
    del settings.RETIREMENT_SERVICE_WORKER_USERNAME
    with pytest.raises(InvalidSpec, match="RETIREMENT_SERVICE_WORKER_USERNAME"):
        access_catalogue.profile("retirement").apply(ClientSpec())
    asked = access_catalogue.find_endpoint("GET", "/api/user/v1/accounts/retirement_queue/")
    assert access_catalogue.allows({"username:somebody"}, asked) is Answer.REFUSED


def test_superuser_profile_includes_staff(settings: Any) -> None:
    more = {**MORE, "opens": ["list videos", "list all enrollments"], "grants": {"superuser": "both ask for it"}}
    settings.EDX_API_PROVISIONING = {"ACCESS_PROFILES": {"all": more}}
    assert access_catalogue.profile("all").rights == {"superuser", "staff"}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Install another plugin that adds profiles."""
    return lambda given: monkeypatch.setattr(
        apps.get_app_config("student"), "api_access_profiles", given, raising=False
    )


@pytest.mark.parametrize("by", ["site", "plugin"])
def test_profiles_and_endpoints_are_added(by: str, plugin: Callable[[Any], None], settings: Any) -> None:
    before = access_catalogue.profiles()

    if by == "site":
        settings.EDX_API_PROVISIONING = {"ACCESS_PROFILES": {"reports": MORE, "course-modes": MORE}}
    else:
        plugin({"reports": MORE, "course-modes": MORE})

    profile = access_catalogue.profile("reports")
    assert [each.name for each in profile.opens] == ["list courses", "read a report"]
    assert profile.rights == {"permission:reports.view_report"}
    assert access_catalogue.find_endpoint("GET", "/reports/7/").name == "read a report"
    assert {each.name for each in access_catalogue.profiles()} == {*(each.name for each in before), "reports"}
    assert access_catalogue.profile("course-modes").title == "Read reports"


def test_settings_override_plugin_profiles(plugin: Callable[[Any], None], settings: Any) -> None:
    plugin({"reports": MORE})

    settings.EDX_API_PROVISIONING = {"ACCESS_PROFILES": {"reports": {**MORE, "title": "As the site has it"}}}

    assert access_catalogue.profile("reports").title == "As the site has it"


@pytest.mark.parametrize("given", [{"reports": {**MORE, "grants": {}}}, ["reports"], "reports"], ids=str)
def test_invalid_plugin_profile_is_rejected(plugin: Callable[[Any], None], given: Any) -> None:
    plugin(given)

    with pytest.raises(ImproperlyConfigured, match=r"^common\.djangoapps\.student: api_access_profiles"):
        access_catalogue.profiles()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": None, "opens": ["nonsense"]}, "KeyError: 'nonsense'"),
        ({"grants": {}}, "its rights do not open 'read a report'"),
        ({"grants": {"staf": "why"}}, "'staf' is no right"),
        ({"grants": {"permissions": ["reports.view_report"]}}, "AttributeError"),
        ({"opens": [{"name": "x"}]}, "KeyError: 'auth'"),
        ({"opens": [{**MORE["opens"][1], "rights": ["staff"]}]}, "'staff' is no list of rights"),
        ({"opens": [{**MORE["opens"][1], "rights": [["staf"]]}]}, "is no list of rights"),
        ({"opens": [{**MORE["opens"][1], "auth": "jwt"}]}, "auth is some of bearer, jwt, none"),
        ({"opens": [{**MORE["opens"][1], "name": "list courses"}]}, "two endpoints are called 'list courses'"),
        ({"opens": [{**MORE["opens"][1], "paht": ""}]}, "paht"),
        (
            {"opens": ["read course modes with one's own name in the query"], "grants": {"staff": "why"}},
            "a mistake of the platform",
        ),
    ],
)
def test_invalid_site_profile_is_rejected(settings: Any, change: dict[str, Any], reason: str) -> None:
    settings.EDX_API_PROVISIONING = {"ACCESS_PROFILES": {"reports": {**MORE, **change}}}
    with pytest.raises(ImproperlyConfigured) as caught:
        access_catalogue.profile("reports")
    assert str(caught.value).startswith("EDX_API_PROVISIONING['ACCESS_PROFILES']['reports']: ")
    assert reason in str(caught.value)


def test_profiles_and_grants_give_reasons() -> None:
    for profile in access_catalogue.profiles():
        assert profile.title
        assert profile.why
        assert profile.opens
        assert all(grant.why for grant in profile.grants)


def test_access_table_page_is_current(
    settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.RETIREMENT_SERVICE_WORKER_USERNAME = None  # The script sets it too; this undoes it.
    monkeypatch.setattr(django, "setup", lambda: None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    runpy.run_path(str(DOCS / "make_access_table.py"), run_name="__main__")
    assert capsys.readouterr().out == (DOCS / "access-profiles.rst").read_text()


# The comparison with the platform


def test_moved_checks_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = spec_from_file_location("compare_access", DOCS / "compare_access.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    views = tmp_path / "lms/djangoapps/course_api/views.py"
    views.parent.mkdir(parents=True)
    views.write_text("class CourseListView:\n    authentication_classes = (JwtAuthentication,)\n")

    assert script.main(tmp_path) > 50
    lines = capsys.readouterr().out.splitlines()
    assert "GET /api/courses/v1/courses/: lms/djangoapps/course_api/views.py takes no Bearer tokens" in lines
    course = "GET /api/courses/v1/courses/{course_key}: lms/djangoapps/course_api/views.py"
    assert f"{course} does not mention CourseDetailView" in lines
    me = "GET /api/user/v1/me: openedx/core/djangoapps/user_api/accounts/views.py is gone"
    assert me in lines
    assert not [line for line in lines if "/api/organizations/" in line]


def test_every_row_names_its_release() -> None:
    assert {each.release for each in access_catalogue.endpoints()} == {"Teak", "Verawood"}
