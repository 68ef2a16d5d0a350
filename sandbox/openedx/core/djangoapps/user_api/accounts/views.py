"""Accounts (openedx/core/djangoapps/user_api/accounts/views.py of the LMS): the part that the contract asks for."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openedx.core.lib.api.authentication import AUTHENTICATION_ALLOW_INACTIVE_USER


class CanGetAccountInfo(BasePermission):
    """Anybody may ask by name; only staff and superusers may search by what a person does not show."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        searches = {"email", "lms_user_id"} & set(request.GET)
        return not searches or request.user.is_staff or request.user.is_superuser


class CanRetireUser(BasePermission):
    """A matter of the name: the retirement worker, or a superuser."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        worker = settings.RETIREMENT_SERVICE_WORKER_USERNAME
        return request.user.is_superuser or request.user.username == worker


class AccountView(APIView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes: tuple[Any, ...] = (IsAuthenticated, CanGetAccountInfo)

    def account(self, user: User) -> dict[str, Any]:
        public = {"username": user.username, "account_privacy": "all_users"}
        if self.request.user == user or self.request.user.is_staff:
            return {**public, "id": user.pk, "email": user.email, "is_active": user.is_active}
        return public


class MeView(AccountView):
    def get(self, request: Request) -> Response:
        return Response({"username": request.user.username})


class AccountDetailView(AccountView):
    def get(self, request: Request, username: str) -> Response:
        return Response(self.account(get_object_or_404(User, username=username)))


class AccountListView(AccountView):
    def get(self, request: Request) -> Response:
        if "email" in request.GET:
            users = User.objects.filter(email=request.GET["email"])
        else:
            users = User.objects.filter(username__in=request.GET.get("username", "").split(","))
        return Response([self.account(user) for user in users])


class PreferencesView(AccountView):
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request, username: str) -> Response:
        if request.user.username != username and not request.user.is_staff:
            return Response(status=403)
        get_object_or_404(User, username=username)
        return Response({})


class RetirementQueueView(APIView):
    """Has the default authentication classes: no Bearer token opens it."""

    permission_classes = (IsAuthenticated, CanRetireUser)

    def get(self, request: Request) -> Response:
        raise ValidationError("There are no retirement states in the sandbox.")
