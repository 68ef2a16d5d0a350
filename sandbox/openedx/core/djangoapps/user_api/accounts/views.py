"""Accounts (openedx/core/djangoapps/user_api of the LMS): who may do what, and as little else as possible."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openedx.core.lib.api.authentication_lists import AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.parsers import MergePatchParser
from openedx.core.lib.api.permissions import ApiKeyHeaderPermission, IsStaffOrOwner


class CanGetAccountInfo(BasePermission):
    """Anybody may ask by name; only staff and superusers may search by what a person does not show."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        searches = {"email", "lms_user_id"} & set(request.GET)
        return not searches or request.user.is_staff or request.user.is_superuser


class CanDeactivateUser(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("student.can_deactivate_users")


class CanRetireUser(BasePermission):
    """A matter of the name: the retirement worker, or a superuser (openedx/core/djangoapps/user_api/rules.py)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        worker = settings.RETIREMENT_SERVICE_WORKER_USERNAME
        return request.user.is_superuser or request.user.username == worker


class CanCancelUserRetirement(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return user.is_superuser or (user.is_staff and user.has_perm("user_api.change_userretirementstatus"))


class AccountView(APIView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes: tuple[Any, ...] = (IsAuthenticated, CanGetAccountInfo)

    def account(self, user: User) -> dict[str, Any]:
        public = {"username": user.username, "account_privacy": "all_users"}
        if self.request.user == user or self.request.user.is_staff:
            return {**public, "id": user.pk, "email": user.email, "is_active": user.is_active}
        return public

    def check_is_self(self, username: str) -> None:
        """What only the user itself may change, not even a superuser may."""
        if self.request.user.username != username:
            raise PermissionDenied


class MeView(AccountView):
    def get(self, request: Request) -> Response:
        return Response({"username": request.user.username})


class AccountDetailView(AccountView):
    parser_classes = (MergePatchParser,)

    def get(self, request: Request, username: str) -> Response:
        return Response(self.account(get_object_or_404(User, username=username)))

    def patch(self, request: Request, username: str) -> Response:
        self.check_is_self(username)
        return Response(self.account(request.user))


class AccountListView(AccountView):
    def get(self, request: Request) -> Response:
        return Response([self.account(user) for user in self.users()])

    def users(self) -> QuerySet[User]:
        asked = self.request.GET
        if "email" in asked:
            return User.objects.filter(email=asked["email"])
        if "lms_user_id" in asked:
            return User.objects.filter(pk=asked["lms_user_id"])
        return User.objects.filter(username__in=asked.get("username", "").split(","))


class SearchEmailsView(AccountView):
    def post(self, request: Request) -> Response:
        if not request.user.is_staff:
            raise NotFound
        return Response([*User.objects.filter(email__in=request.data.get("emails", [])).values("email", "username")])


class PreferencesView(AccountView):
    """Asks for no more than a login; what stands behind it checks the rest."""

    permission_classes = (IsAuthenticated,)
    parser_classes = (MergePatchParser,)

    def get(self, request: Request, username: str) -> Response:
        if request.user.username != username and not request.user.is_staff:
            return Response(status=403)
        get_object_or_404(User, username=username)
        return Response({})

    def patch(self, request: Request, username: str) -> Response:
        self.check_is_self(username)
        return Response(status=204)


class VerificationStatusView(AccountView):
    """openedx/core/djangoapps/user_api/verification_api/views.py: nobody's identity was verified."""

    permission_classes = (IsAuthenticated, IsStaffOrOwner)

    def get(self, request: Request, username: str) -> NoReturn:
        raise NotFound


class _JwtView(APIView):
    """Has the default authentication classes: no Bearer token opens it."""

    permission_classes: tuple[Any, ...] = (IsAuthenticated,)


class DeactivateView(_JwtView):
    permission_classes = (IsAuthenticated, CanDeactivateUser)

    def post(self, request: Request, username: str) -> Response:
        user = get_object_or_404(User, username=username)
        user.set_unusable_password()
        user.save()
        return Response({"username": username})


class RetirementQueueView(_JwtView):
    permission_classes = (IsAuthenticated, CanRetireUser)

    def get(self, request: Request) -> Response:
        raise ValidationError("There are no retirement states in the sandbox.")


class CancelRetirementView(_JwtView):
    permission_classes = (IsAuthenticated, CanCancelUserRetirement)

    def post(self, request: Request) -> Response:
        raise ValidationError("Retirement does not exist!")


class UsersView(_JwtView):
    """openedx/core/djangoapps/user_api/views.py"""

    permission_classes = (ApiKeyHeaderPermission,)

    def get(self, request: Request) -> Response:
        return Response([*User.objects.values("username", "email")])
