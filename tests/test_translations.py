"""Test that translations follow Open edX's conventions, and that Russian is complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import polib
import pytest
from django.utils import translation

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.spec import ClientSpec

PACKAGE = Path(__file__).parents[1] / "edx_api_provisioning"
CATALOG = "LC_MESSAGES/django.po"
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
Text = tuple[str, str]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> set[Text]:
    """Return the texts in the code."""
    copy = tmp_path_factory.mktemp("extracted") / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("locale", "conf", "__pycache__"))
    (copy / "locale").mkdir()
    command = [sys.executable, "-m", "django", "makemessages", "--locale=en", "--no-wrap", "--verbosity=0"]
    subprocess.run(command, cwd=copy, env={"PATH": os.environ["PATH"]}, check=True)
    return texts(copy / "locale/en" / CATALOG)


def texts(catalog: Path) -> set[Text]:
    return {(entry.msgid, entry.msgid_plural) for entry in polib.pofile(str(catalog))}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_catalogs_match_code(language: str, extracted: set[Text]) -> None:
    """To fix: `make extract_translations`, translate, `make compile_translations`."""
    assert texts(PACKAGE / "locale" / language / CATALOG) ^ extracted == set()


def test_catalogs_are_in_place() -> None:
    assert (PACKAGE / "conf/locale/en" / CATALOG).is_file()


def test_russian_is_complete() -> None:
    catalog = polib.pofile(str(PACKAGE / "locale/ru" / CATALOG))

    assert [entry.msgid for entry in catalog if not entry.translated() or entry.fuzzy] == []


def test_translations_keep_placeholders() -> None:
    for entry in polib.pofile(str(PACKAGE / "locale/ru" / CATALOG)):
        wanted = Counter(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        for translated in entry.msgstr_plural.values() or [entry.msgstr]:
            assert Counter(PLACEHOLDER.findall(translated)) == wanted, entry.msgid
            # Parts keep their surrounding blanks, and whole lines their line end.
            assert [text[:1].isspace() for text in (translated, entry.msgid)] in ([True] * 2, [False] * 2), entry.msgid
            assert [text[-1:].isspace() for text in (translated, entry.msgid)] in ([True] * 2, [False] * 2), entry.msgid


def test_translations_keep_options_and_names() -> None:
    named = re.compile(r"--[a-z-]+|[A-Z]{2,}_[A-Z_]+|\b[a-z]+_[a-z_]+\b|https?://\S+")
    for entry in polib.pofile(str(PACKAGE / "locale/ru" / CATALOG)):
        for translated in entry.msgstr_plural.values() or [entry.msgstr]:
            text = PLACEHOLDER.sub("", entry.msgid)
            assert [name for name in named.findall(text) if name not in translated] == [], entry.msgid


def test_compiled_catalog_is_current(tmp_path: Path) -> None:
    catalog = PACKAGE / "locale/ru" / CATALOG
    subprocess.run(["msgfmt", "--check-format", f"--output-file={tmp_path / 'django.mo'}", catalog], check=True)

    compiled = [polib.mofile(str(path)) for path in (tmp_path / "django.mo", catalog.with_suffix(".mo"))]
    one, other = ({entry.msgid: (entry.msgstr, entry.msgstr_plural) for entry in each} for each in compiled)
    assert one == other


def test_django_finds_translation() -> None:
    with translation.override("ru"), pytest.raises(InvalidSpec) as refused:
        ClientSpec(groups=("",))

    assert refused.value.message == "не может быть пустым; не указывайте его, чтобы взять значение по умолчанию."
