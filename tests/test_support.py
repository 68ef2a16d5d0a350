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
    versions = {
        f"py{python}-dj{django}-dot{dot}" for python, django, dot in itertools.product(pythons, djangos, toolkits)
    }
    newest = f"py{pythons[-1]}-dj{djangos[-1]}-dot{toolkits[-1]}"

    assert versions <= matrix
    assert {f"{newest}-{database}" for database in ("mysql", "postgres")} <= matrix
    assert {f"tutor{version}" for version in SUPPORT["Tutor"]} <= matrix
    claimed = re.compile(r"py(\d+)-dj(\d+)-dot(\d+)|tutor\d+")
    assert {claimed.match(name)[0] for name in matrix - {"latest", "tutormain"}} == versions | {
        f"tutor{version}" for version in SUPPORT["Tutor"]
    }


def test_oldest_and_newest_versions_are_pinned() -> None:
    for pins, position in (("lms", 0), ("newest", -1)):
        pinned = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / f"requirements/{pins}.txt").read_text(), re.MULTILINE))
        for thing in ("Django", "django-oauth-toolkit"):
            assert f"{pinned[thing]}.".startswith(f"{SUPPORT[thing][position]}.")


def test_readme_names_supported_versions() -> None:
    for thing, last in (("Python", "and"), ("Django", "and"), ("Tutor", "and"), ("django-oauth-toolkit", "or")):
        assert f"{thing} {listed(SUPPORT[thing], last)}" in README
    assert listed(SUPPORT["databases"], "or") in README


def test_tutor_page_names_supported_versions() -> None:
    assert f"Tutor {listed(SUPPORT['Tutor'], 'and')}" in (ROOT / "docs/tutor.rst").read_text()


def test_requires_python_matches_support() -> None:
    assert distribution("edx-api-provisioning").metadata["Requires-Python"] == ">=3.10", "Tutor runs on Python 3.10"
