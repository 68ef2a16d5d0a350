"""Test that pyproject.toml, the classifiers, the matrix and the pages agree on supported versions."""

from __future__ import annotations

import itertools
import re
import tomllib
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUPPORT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["edx-api-provisioning"]["support"]
README = " ".join((ROOT / "README.rst").read_text().split())


def environments(label: str) -> set[str]:
    """Return the environment names of a label, with braces expanded."""
    tox = ConfigParser()
    tox.read(ROOT / "tox.ini")
    (names,) = re.findall(rf"^{label} = (.+)$", tox["tox"]["labels"], re.MULTILINE)
    expanded: set[str] = set()
    for name in re.findall(r"(?:[^,{}]|{[^}]*})+", names):
        parts = [part.strip("{}").split(",") for part in re.split(r"({[^}]*})", name.strip())]
        expanded |= {"".join(chosen) for chosen in itertools.product(*parts)}
    return expanded


def listed(versions: list[str], last: str) -> str:
    return f"{', '.join(versions[:-1])} {last} {versions[-1]}"


@pytest.mark.parametrize(
    ("thing", "classifier"), [("Python", "Programming Language :: Python :: 3."), ("Django", "Framework :: Django :: ")]
)
def test_classifiers_match_support(thing: str, classifier: str) -> None:
    claimed = distribution("edx-api-provisioning").metadata.get_all("Classifier") or []

    assert [one.rpartition(" ")[2] for one in claimed if one.startswith(classifier)] == SUPPORT[thing]


def test_matrix_covers_supported_versions() -> None:
    matrix = environments("matrix")
    pythons, djangos, toolkits = (
        [version.replace(".", "") for version in SUPPORT[thing]]
        for thing in ("Python", "Django", "django-oauth-toolkit")
    )
    # For 1.7 it is the LMS's version.
    toolkits[0] += "1"
    # Django 6 needs Python 3.12 and django-oauth-toolkit 3.4.
    versions = {
        *itertools.product(["311", "312"], ["42", "52"], toolkits),
        *itertools.product(["312", "313"], ["60", "61"], ["34"]),
    }
    others = {f"tutor{version}" for version in SUPPORT["Tutor"]} | {name.lower() for name in SUPPORT["Open edX"]}
    claimed = re.compile(r"py(\d+)-dj(\d+)-dot(\d+)|[a-z]+\d*")

    assert [sorted(set(each)) for each in zip(*versions, strict=True)] == [pythons, djangos, toolkits]
    assert {claimed.match(name)[0] for name in matrix - {"latest", "tutormain"}} == others | {
        f"py{python}-dj{django}-dot{toolkit}" for python, django, toolkit in versions
    }
    assert {f"py312-dj52-dot34-{database}" for database in ("mysql", "postgres")} <= matrix


@pytest.mark.parametrize("release", SUPPORT["Open edX"])
def test_release_of_open_edx_has_its_pins(release: str) -> None:
    file = "lms" if release == "Teak" else release.lower()
    pins = (ROOT / f"requirements/{file}.txt").read_text()

    assert f" {release} " in pins or f"({release})" in pins
    assert re.search(r"^django-oauth-toolkit==1\.7\.1$", pins, re.MULTILINE)


def test_oldest_and_newest_versions_are_pinned() -> None:
    # The newest job takes the newest long-term release of Django.
    for pins, django, toolkit in (("lms", "4.2", "1.7"), ("newest", "5.2", SUPPORT["django-oauth-toolkit"][-1])):
        pinned = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / f"requirements/{pins}.txt").read_text(), re.MULTILINE))
        assert pinned["Django"].startswith(f"{django}.")
        assert pinned["django-oauth-toolkit"].startswith(f"{toolkit}.")


def test_pages_name_supported_versions() -> None:
    for thing, last in (
        *((each, "and") for each in ("Python", "Django", "Open edX", "Tutor")),
        ("django-oauth-toolkit", "or"),
    ):
        assert f"{thing} {listed(SUPPORT[thing], last)}" in README
    assert listed(SUPPORT["databases"], "or") in README
    assert f"Tutor {listed(SUPPORT['Tutor'], 'and')}" in (ROOT / "docs/tutor.rst").read_text()


def test_requires_python_matches_support() -> None:
    assert distribution("edx-api-provisioning").metadata["Requires-Python"] == ">=3.10", "Tutor runs on Python 3.10"
