from __future__ import annotations

from django.urls import path

from openedx.core.djangoapps.user_api.accounts import views

urlpatterns = [
    path("me", views.MeView.as_view()),
    path("accounts", views.AccountListView.as_view()),
    path("accounts/search_emails", views.SearchEmailsView.as_view()),
    path("accounts/retirement_queue/", views.RetirementQueueView.as_view()),
    path("accounts/cancel_retirement/", views.CancelRetirementView.as_view()),
    path("accounts/<str:username>", views.AccountDetailView.as_view()),
    path("accounts/<str:username>/deactivate/", views.DeactivateView.as_view()),
    path("accounts/<str:username>/verification_status/", views.VerificationStatusView.as_view()),
    path("preferences/<str:username>", views.PreferencesView.as_view()),
    path("users/", views.UsersView.as_view()),
]
