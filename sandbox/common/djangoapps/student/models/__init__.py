from __future__ import annotations

from common.djangoapps.student.models.user import AccountRecovery, CourseAccessRole, CourseEnrollment, UserProfile

__all__ = ["AccountRecovery", "CourseAccessRole", "CourseEnrollment", "UserProfile"]
