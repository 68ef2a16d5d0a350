"""The second shape of an error body (openedx/core/lib/api/view_utils.py of the LMS)."""

from __future__ import annotations

from django.http import Http404
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import APIView


class DeveloperErrorViewMixin(APIView):
    """Wraps an error in `developer_message`, and drops the WWW-Authenticate header of a 401."""

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, APIException):
            return Response({"developer_message": exc.detail}, status=exc.status_code)
        if isinstance(exc, Http404):
            return Response({"developer_message": str(exc) or "Not found."}, status=404)
        return super().handle_exception(exc)
