"""Shared base classes of the sandbox's further endpoints."""

from __future__ import annotations

from typing import Any, NoReturn

from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openedx.core.lib.api.authentication_lists import AUTHENTICATION_ALLOW_INACTIVE_USER


class JwtView(APIView):
    """Has the default authentication classes: Bearer tokens are not accepted."""

    permission_classes: tuple[Any, ...] = (IsAuthenticated,)


class View(JwtView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER


class AbsentView(View):
    """Always answers 404."""

    def get(self, request: Request, **kwargs: str) -> NoReturn:
        raise NotFound

    post = get


class EmptyView(View):
    """Answers with an empty result."""

    def get(self, request: Request, **kwargs: str) -> Response:
        return Response([])
