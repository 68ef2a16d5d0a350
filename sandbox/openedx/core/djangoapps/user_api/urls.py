from __future__ import annotations

from django.urls import path, re_path

from openedx.core.constants import USERNAME_PATTERN
from openedx.core.djangoapps.user_api.accounts import views

DETAIL = {"get": "retrieve", "patch": "partial_update"}

urlpatterns = [
    path("me", views.AccountViewSet.as_view({"get": "get"})),
    path("accounts", views.AccountViewSet.as_view({"get": "list"})),
    path("accounts/search_emails", views.AccountViewSet.as_view({"post": "search_emails"})),
    path("accounts/retirement_queue/", views.AccountRetirementStatusView.as_view()),
    path("accounts/cancel_retirement/", views.CancelAccountRetirementStatusView.as_view()),
    re_path(rf"^accounts/{USERNAME_PATTERN}$", views.AccountViewSet.as_view(DETAIL)),
    re_path(rf"^accounts/{USERNAME_PATTERN}/deactivate/$", views.AccountDeactivationView.as_view()),
    re_path(rf"^accounts/{USERNAME_PATTERN}/verification_status/$", views.IDVerificationStatusView.as_view()),
    re_path(rf"^preferences/{USERNAME_PATTERN}$", views.PreferencesView.as_view()),
    path("users/", views.UserViewSet.as_view()),
]
