"""Packaging. The version lives in the package; what is required is in the LMS already."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import time
from pathlib import Path
from typing import Any

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "edx_api_provisioning/__init__.py").read_text())[1]


# Where the repository is published, such as https://github.com/OWNER/edx-api-provisioning: the one place to set it. The
# release workflow sets it to the repository that it runs in.
PROJECT_URL = os.environ.get("PROJECT_URL", "").rstrip("/")
PROJECT_URLS = {
    "Source": PROJECT_URL,
    "Documentation": f"{PROJECT_URL}/blob/v{VERSION}/docs/index.rst",
    "Changelog": f"{PROJECT_URL}/blob/v{VERSION}/CHANGELOG.rst",
    "Issues": f"{PROJECT_URL}/issues",
    "Security": f"{PROJECT_URL}/security/advisories/new",
}


def description() -> str:
    """The README and the changelog, with links into the repository that work elsewhere."""
    text = (HERE / "README.rst").read_text() + "\n\n" + (HERE / "CHANGELOG.rst").read_text()
    if PROJECT_URL:
        text = re.sub(r"<(docs/|[A-Z]+\.rst)", rf"<{PROJECT_URL}/blob/v{VERSION}/\1", text)
        text = text.replace(".. image:: docs/", f".. image:: {PROJECT_URL}/raw/v{VERSION}/docs/")
    return text


class ReproducibleSdist(sdist):
    """The same bytes from the same source, under SOURCE_DATE_EPOCH; setuptools keeps to that in wheels alone."""

    def make_archive(self, base_name: str, *_args: Any, base_dir: str, **_kwargs: Any) -> str:
        made = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))

        def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime, member.uid, member.gid, member.uname, member.gname = made, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        path = f"{base_name}.tar.gz"
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=made) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            archive.add(base_dir, filter=plain)  # by name, whatever the order on the disk
        return path


setup(
    name="edx-api-provisioning",
    version=VERSION,
    description="Open edX API credentials in one step: service user, OAuth2 application and access token.",
    long_description=description(),
    long_description_content_type="text/x-rst",
    author="The edx-api-provisioning contributors",
    maintainer="The edx-api-provisioning maintainers",
    url=PROJECT_URL or None,
    project_urls=PROJECT_URLS if PROJECT_URL else {},
    license="Apache-2.0",
    license_files=["LICENSE"],
    cmdclass={"sdist": ReproducibleSdist},
    packages=find_packages(include=["edx_api_provisioning", "edx_api_provisioning.*"]),
    include_package_data=True,
    zip_safe=False,
    python_requires=">=3.10",  # that of Tutor; the LMS has 3.11 or newer
    # Nothing: the LMS has all of it at pins that we must not move, and beside Tutor none of it is wanted
    # (docs/decisions/0006). What is imported comes with the extra.
    install_requires=[],
    extras_require={
        "django": [
            "Django>=4.2",
            "django-oauth-toolkit>=1.7.1",
            "djangorestframework>=3.14",
            "oauthlib>=3.2",
            "PyYAML>=6.0",
            "requests>=2.31",
        ]
    },
    entry_points={
        "lms.djangoapp": ["edx_api_provisioning = edx_api_provisioning.apps:ApiProvisioningConfig"],
        "tutor.plugin.v1": ["api-provisioning = edx_api_provisioning.tutor"],
    },
    keywords="Open edX LMS OAuth2 API credentials provisioning django-oauth-toolkit",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Plugins",
        "Framework :: Django",
        "Framework :: Django :: 4.2",
        "Framework :: Django :: 5.2",
        "Framework :: Django :: 6.0",
        "Framework :: Django :: 6.1",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Security",
        "Typing :: Typed",
    ],
)
