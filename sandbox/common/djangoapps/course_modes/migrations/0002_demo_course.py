"""Add one mode of one course, so that the first request of a new API client returns something."""

from __future__ import annotations

from typing import Any

from django.db import migrations

COURSE = "course-v1:CET+GW_01+2021_2022_FA"


def create(apps: Any, schema_editor: Any) -> None:
    apps.get_model("course_modes", "CourseMode").objects.create(
        course_id=COURSE, mode_slug="audit", mode_display_name="Audit"
    )


def remove(apps: Any, schema_editor: Any) -> None:
    apps.get_model("course_modes", "CourseMode").objects.filter(course_id=COURSE).delete()


class Migration(migrations.Migration):
    dependencies = [("course_modes", "0001_initial")]
    operations = [migrations.RunPython(create, remove)]
