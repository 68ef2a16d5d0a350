"""Extend Tutor on the operator's machine. The plugin imports Tutor and click, but no Django.

Source: https://docs.tutor.edly.io/reference/api/hooks/catalog.html
"""

from __future__ import annotations

from pathlib import Path

from tutor import __about__, hooks
from tutor.exceptions import TutorError

from edx_api_provisioning import __version__
from edx_api_provisioning.tutor import clients, jobs, package

if int(__about__.__version__.partition(".")[0]) < 20:
    raise TutorError(f"api-provisioning needs Tutor 20 or newer, and this is Tutor {__about__.__version__}.")

_HERE = Path(__file__).parent
SMOKE_TEST = str(_HERE / "smoke" / "test_api_client.py")

hooks.Filters.CONFIG_DEFAULTS.add_items(
    [
        ("API_PROVISIONING_CLIENTS", []),
        ("API_PROVISIONING_PACKAGE", f"edx-api-provisioning=={__version__}"),
        ("API_PROVISIONING_SETTINGS", {}),
    ]
)
hooks.Actions.CONFIG_LOADED.add()(clients.check)

# If the repository is mounted, Tutor installs it.
_INSTALL = """\
{% if "edx-api-provisioning" not in iter_mounted_directories(MOUNTS, "openedx") %}
{{ API_PROVISIONING_PACKAGE|api_provisioning_install }}
{% endif %}"""
# JSON is YAML.
_SETTINGS = """\
{% if API_PROVISIONING_SETTINGS %}EDX_API_PROVISIONING: {{ API_PROVISIONING_SETTINGS|tojson }}{% endif %}"""
hooks.Filters.ENV_PATCHES.add_items(
    [
        ("openedx-dockerfile-post-python-requirements", _INSTALL),
        ("lms-env", _SETTINGS),
    ]
)
hooks.Filters.MOUNTED_DIRECTORIES.add_item(("openedx", "edx-api-provisioning$"))

hooks.Filters.CLI_DO_COMMANDS.add_items(jobs.TUTOR_COMMANDS)
_INIT = """\
python ./manage.py lms migrate edx_api_provisioning
{{ API_PROVISIONING_CLIENTS|api_provisioning_commands }}"""
hooks.Filters.CLI_DO_INIT_TASKS.add_item(("lms", _INIT))
hooks.Filters.ENV_TEMPLATE_FILTERS.add_items(
    [
        ("api_provisioning_commands", clients.commands),
        ("api_provisioning_install", package.install),
        ("api_provisioning_secrets", clients.secrets),
    ]
)
# apps/openedx/config is mounted into every container of the LMS: a directory in compose, a ConfigMap in Kubernetes.
hooks.Filters.ENV_TEMPLATE_ROOTS.add_item(str(_HERE / "templates"))

# Since Tutor 21: `tutor local do tests`.
if hasattr(hooks.Filters, "TESTS"):
    hooks.Filters.TESTS.add_item(("lms", "smoke", SMOKE_TEST))
