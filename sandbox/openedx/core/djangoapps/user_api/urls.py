from __future__ import annotations

from django.urls import path

from openedx.core.djangoapps.user_api.accounts import views

urlpatterns = [
    path("me", views.MeView.as_view()),
    path("accounts", views.AccountListView.as_view()),
    path("accounts/retirement_queue/", views.RetirementQueueView.as_view()),
    path("accounts/<str:username>", views.AccountDetailView.as_view()),
    path("preferences/<str:username>", views.PreferencesView.as_view()),
]
