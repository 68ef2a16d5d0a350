"""Accounts (openedx/core/djangoapps/user_api of the LMS): permissions and responses."""

from __future__ import annotations

from typing import NoReturn

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from rest_framework.exceptions import NotFound, UnsupportedMediaType, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from common.djangoapps.student.models import UserProfile
from lms.views import JwtView, View
from openedx.core.djangoapps.user_api.accounts.serializers import account
from openedx.core.lib.api.authentication_lists import AUTHENTICATION, AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.parsers import MergePatchParser
from openedx.core.lib.api.permissions import ApiKeyHeaderPermission, IsStaffOrOwner

EDITABLE = ("name", "bio", "country", "gender", "goals", "level_of_education", "mailing_address", "year_of_birth")


class CanGetAccountInfo(BasePermission):
    """Anyone may look up by name; only staff and superusers may search by private fields."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        searches = {"email", "lms_user_id"} & set(request.GET)
        return not searches or request.user.is_staff or request.user.is_superuser


class CanDeactivateUser(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm("student.can_deactivate_users")


class CanRetireUser(BasePermission):
    """The retirement worker (by username) or a superuser (openedx/core/djangoapps/user_api/rules.py)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        worker = settings.RETIREMENT_SERVICE_WORKER_USERNAME
        return request.user.is_superuser or request.user.username == worker


class CanCancelUserRetirement(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return user.is_superuser or (user.is_staff and user.has_perm("user_api.change_userretirementstatus"))


class AccountViewSet(ViewSet):
    """Reads an account, and changes what its user may change."""

    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes = (IsAuthenticated, CanGetAccountInfo)
    parser_classes = (JSONParser, MergePatchParser)

    def get(self, request: Request) -> Response:
        return Response({"username": request.user.username})

    def list(self, request: Request) -> Response:
        users = [*self._asked_for()]
        return Response([account(user, request) for user in users], status=200 if users else 404)

    def _asked_for(self) -> QuerySet[User]:
        asked = self.request.GET
        if asked.get("username"):
            return User.objects.filter(username__in=asked["username"].strip(",").split(","))
        if asked.get("email"):
            return User.objects.filter(email=asked["email"])
        if asked.get("lms_user_id"):
            return User.objects.filter(pk=asked["lms_user_id"])
        return User.objects.filter(pk=self.request.user.pk)

    def search_emails(self, request: Request) -> Response:
        if not request.user.is_staff:
            return Response({"developer_message": "not_found", "user_message": "Not Found"}, status=404)
        if "emails" not in request.data:
            message = "'emails' field is required"
            return Response({"developer_message": message, "user_message": message}, status=400)
        return Response([*User.objects.filter(email__in=request.data["emails"]).values("email", "id", "username")])

    def retrieve(self, request: Request, username: str) -> Response:
        user = User.objects.filter(username=username).first()
        return Response(account(user, request)) if user else Response(status=404)

    def partial_update(self, request: Request, username: str) -> Response:
        """Change or create the profile of the requesting user. Even a superuser cannot change another's."""
        if request.content_type != MergePatchParser.media_type:
            raise UnsupportedMediaType(request.content_type)
        if request.user.username != username:
            return Response(status=403)
        changes = {name: value for name, value in request.data.items() if name in EDITABLE}
        UserProfile.objects.update_or_create(user=request.user, defaults=changes)
        return self.retrieve(request, username)


class PreferencesView(View):
    """Needs only a login; further checks happen later."""

    parser_classes = (MergePatchParser,)

    def get(self, request: Request, username: str) -> Response:
        if request.user.username != username and not request.user.is_staff:
            return Response(status=403)
        get_object_or_404(User, username=username)
        return Response({})

    def patch(self, request: Request, username: str) -> Response:
        return Response(status=204 if request.user.username == username else 403)


# openedx/core/djangoapps/user_api/verification_api/views.py
class IDVerificationStatusView(APIView):
    """No user has a verified identity."""

    authentication_classes = AUTHENTICATION
    permission_classes = (IsStaffOrOwner,)

    def get(self, request: Request, username: str) -> NoReturn:
        raise NotFound


class AccountDeactivationView(JwtView):
    permission_classes = (IsAuthenticated, CanDeactivateUser)

    def post(self, request: Request, username: str) -> Response:
        user = get_object_or_404(User, username=username)
        user.set_unusable_password()
        user.save()
        return Response({"username": username})


class AccountRetirementStatusView(JwtView):
    permission_classes = (IsAuthenticated, CanRetireUser)

    def get(self, request: Request) -> Response:
        raise ValidationError("There are no retirement states in the sandbox.")


class CancelAccountRetirementStatusView(JwtView):
    permission_classes = (IsAuthenticated, CanCancelUserRetirement)

    def post(self, request: Request) -> Response:
        raise ValidationError("Retirement does not exist!")


# openedx/core/djangoapps/user_api/views.py
class UserViewSet(JwtView):
    permission_classes = (ApiKeyHeaderPermission,)

    def get(self, request: Request) -> Response:
        return Response([*User.objects.values("username", "email")])
