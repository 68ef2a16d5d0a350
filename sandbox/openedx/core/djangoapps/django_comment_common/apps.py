from __future__ import annotations

from django.apps import AppConfig


class DjangoCommentCommonConfig(AppConfig):
    name = "openedx.core.djangoapps.django_comment_common"
