"""Source: common/djangoapps/course_modes/rest_api/v1/views.py of the LMS."""

from __future__ import annotations

from django.db.models import QuerySet
from edx_rest_framework_extensions.permissions import JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS
from rest_framework import generics, serializers

from common.djangoapps.course_modes.models import CourseMode
from openedx.core.lib.api.authentication_lists import AUTHENTICATION_ALLOW_INACTIVE_USER


class CourseModeSerializer(serializers.ModelSerializer):
    course_id = serializers.CharField()

    class Meta:
        model = CourseMode
        exclude = ("id",)


class CourseModesView(generics.ListCreateAPIView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)
    # No client can be granted this scope, as in the LMS: the settings do not define it.
    required_scopes = ("course_modes:read",)
    serializer_class = CourseModeSerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[CourseMode]:
        return CourseMode.objects.filter(course_id=self.kwargs["course_id"]).order_by("pk")
