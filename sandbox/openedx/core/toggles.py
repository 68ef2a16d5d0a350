"""The flag that moves course authoring to openedx-authz. The LMS's flag has overrides for courses too."""

from __future__ import annotations

from opaque_keys.edx.keys import CourseKey
from waffle.models import Flag


class CourseWaffleFlag:
    def __init__(self, name: str) -> None:
        self.name = name

    def is_enabled(self, _course_key: CourseKey | None = None) -> bool:
        return Flag.objects.filter(name=self.name, everyone=True).exists()


AUTHZ_COURSE_AUTHORING_FLAG = CourseWaffleFlag("authz.enable_course_authoring")
