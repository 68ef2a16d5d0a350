"""Route the endpoints of version 1."""

from __future__ import annotations

from django.urls import path

from edx_api_provisioning.rest_api.v1 import views

urlpatterns = [
    path("whoami/", views.WhoAmIView.as_view(), name="whoami"),
    path("self/rotate/", views.SelfRotateView.as_view(), name="self-rotate"),
    path("plan/", views.PlanView.as_view(), name="plan"),
    path("apply/", views.ApplyView.as_view(), name="apply"),
    path("clients/", views.ClientListView.as_view(), name="clients"),
    path("clients/<str:name>/", views.ClientView.as_view(), name="client"),
    path("clients/<str:name>/token/", views.TokenView.as_view(), name="token"),
    path("clients/<str:name>/secret/", views.SecretView.as_view(), name="secret"),
    path("clients/<str:name>/revoke/", views.RevokeView.as_view(), name="revoke"),
    path("clients/<str:name>/events/", views.EventListView.as_view(), name="events"),
]
