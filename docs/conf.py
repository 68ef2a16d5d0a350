"""Configure Sphinx, which `make docs` runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "sandbox")]
# The reference is made from the code as it runs in the LMS.
os.environ["DJANGO_SETTINGS_MODULE"] = "lms.envs.sandbox"
django.setup()

from edx_api_provisioning import __version__  # noqa: E402 (it needs the settings)

project = "edx-api-provisioning"
author = "The edx-api-provisioning contributors"
copyright = author
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
exclude_patterns = ["_*"]
html_theme = "sphinx_book_theme"  # as in the documentation of Open edX
html_title = f"{project} {version}"
# Pages link to pages of ours alone, and every such link has an end. Others' classes are named, not linked.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!edx_api_provisioning\.).*")]
# A type variable is what it stands for.
nitpick_ignore = [("py:class", "edx_api_provisioning.adapters.database.Result")]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
python_use_unqualified_type_names = True
