"""Source: openedx/core/djangoapps/enrollments/serializers.py of the LMS."""

from __future__ import annotations

from typing import Any

from common.djangoapps.course_modes.models import CourseMode
from common.djangoapps.student.models import CourseEnrollment
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview

DEFAULT_MODE = CourseMode(mode_slug="audit", mode_display_name="Audit")


def modes_of(course: CourseOverview) -> list[CourseMode]:
    return [*CourseMode.objects.filter(course_id=course.id)] or [DEFAULT_MODE]


def course_details(course: CourseOverview) -> dict[str, Any]:
    return {
        "course_id": str(course.id),
        "course_name": course.display_name or str(course.id.course),
        "enrollment_start": course.enrollment_start,
        "enrollment_end": course.enrollment_end,
        "course_start": course.start,
        "course_end": course.end,
        "invite_only": course.invitation_only,
        "course_modes": [
            {
                "slug": mode.mode_slug,
                "name": mode.mode_display_name,
                "min_price": mode.min_price,
                "suggested_prices": "",
                "currency": mode.currency,
                "expiration_datetime": mode.expiration_datetime,
                "description": mode.description,
                "sku": mode.sku,
                "bulk_sku": mode.bulk_sku,
            }
            for mode in modes_of(course)
        ],
        "pacing_type": "Self Paced" if course.self_paced else "Instructor Paced",
    }


def enrollment_row(enrollment: CourseEnrollment) -> dict[str, Any]:
    """Return a row of the list of all enrollments."""
    return {
        "created": enrollment.created,
        "mode": enrollment.mode,
        "is_active": enrollment.is_active,
        "user": enrollment.user.username,
        "course_id": str(enrollment.course_id),
    }


def enrollment_with_course(enrollment: CourseEnrollment) -> dict[str, Any]:
    """Return an enrollment for all other answers: with the full course, or null if it is gone."""
    course = CourseOverview.objects.filter(id=enrollment.course_id).first()
    row = enrollment_row(enrollment)
    return {
        **{name: row[name] for name in ("created", "mode", "is_active")},
        "course_details": course_details(course) if course else None,
        "user": row["user"],
    }
