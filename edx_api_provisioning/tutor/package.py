"""Install the package in the ``openedx`` image, as ``API_PROVISIONING_PACKAGE`` says.

The setting is one line of a pip requirements file: ``edx-api-provisioning==0.1.0``, a URL of a wheel or of a repository
(``git+https://…@branch``), or a path in the build context (``./file.whl``, below ``env/build/openedx``); with
``--hash=sha256:…`` behind it, pip checks the hash.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from tutor.exceptions import TutorError


def check(requirement: Any) -> None:
    """Raise TutorError unless the setting is one line that can be installed in the image."""
    if not isinstance(requirement, str) or not requirement.isprintable() or not requirement.strip():
        raise TutorError("API_PROVISIONING_PACKAGE: use one pip requirement, such as edx-api-provisioning==0.1.0.")
    if re.match(r"/|~|\.\./|-|file:", requirement):
        raise TutorError(
            "API_PROVISIONING_PACKAGE: the image cannot read this path. Copy the file to env/build/openedx and write "
            "./FILE, or use a checkout with: tutor mounts add PATH/edx-api-provisioning"
        )


def install(requirement: str) -> str:
    """Return the instruction of the Dockerfile that installs the requirement."""
    pip = "${PIP_COMMAND:-pip} install"  # Tutor 20 has no PIP_COMMAND.
    mounts = "--mount=type=cache,target=/openedx/.cache/pip,sharing=shared"
    line = shlex.quote(requirement)
    command = f"printf '%s\\n' {line} | {pip} -r /dev/stdin" if " --hash=" in requirement else f"{pip} {line}"
    if requirement.startswith("./"):
        # Writable, since pip builds a checkout in place; what it writes is not kept.
        mounts += " --mount=type=bind,rw,target=/tmp/build-context"
        command = f"cd /tmp/build-context && {command}"
    return f"RUN {mounts} \\\n    {command}"
