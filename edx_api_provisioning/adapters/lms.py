"""All that is the LMS's, found through Django's app registry by label: nothing of the LMS is imported by its name.

In plain Django the labels are missing and each function does what plain Django needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import UserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, validate_slug
from django.db.models import Model, QuerySet
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import authz, oauth
from edx_api_provisioning.adapters.database import bulk_insert
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import COURSE_KEY
from edx_api_provisioning.core.state import Access

# The LMS's models, by their labels.
_ACCESS = "oauth_dispatch.ApplicationAccess"
_COURSE = "course_overviews.CourseOverview"
_COURSE_ROLE = "student.CourseAccessRole"
_PROFILE = "student.UserProfile"
_RESTRICTION = "oauth_dispatch.RestrictedApplication"
_RETIREMENT = "user_api.UserRetirementStatus"

# openedx/core/djangoapps/user_api/accounts/__init__.py
_USERNAME_LENGTHS = range(2, 31)


def authentication_classes(*, bearer: bool) -> tuple[type, ...]:
    """Return the authentication classes: JWT if the site accepts it, session with CSRF check, opaque token on request.

    JWTs, in a header or a cookie, are taken by edx-drf-extensions; an LMS has its class among DRF's defaults.
    """
    from rest_framework.authentication import SessionAuthentication

    jwt = _jwt_authentication()
    opaque = [import_string(conf.get("BEARER_AUTHENTICATION"))] if bearer else []
    return (*([jwt] if jwt else []), *opaque, SessionAuthentication)


def _jwt_authentication() -> type | None:
    from rest_framework.settings import api_settings

    classes: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    return next((each for each in classes if hasattr(each, "is_authenticating_with_jwt_cookie")), None)


def jwt_claims(auth: Any, authenticator: Any) -> dict[str, Any] | None:
    """Return the verified claims of the JWT that authenticated a request; None if it was not authenticated by JWT."""
    jwt = _jwt_authentication()
    if jwt is None or not isinstance(authenticator, jwt):
        return None
    decode = import_string("edx_rest_framework_extensions.auth.jwt.decoder.configured_jwt_decode_handler")
    return dict(decode(auth))


def read_jwt(token: Secret) -> tuple[dict[str, Any], str | None]:
    """Return the verified claims of a JWT and None, or no claims and the problem with it."""
    if _jwt_authentication() is None:
        return {}, "jwt_refused"
    decoder, exceptions = (
        import_module(name) for name in ("edx_rest_framework_extensions.auth.jwt.decoder", "jwt.exceptions")
    )
    decoder.logger.disabled = True  # It would write a traceback to the terminal.
    try:
        return dict(decoder.configured_jwt_decode_handler(token.reveal())), None
    except exceptions.PyJWTError as error:
        expired = isinstance(error.__cause__ or error, exceptions.ExpiredSignatureError)
        return {}, "jwt_expired" if expired else "jwt_invalid"
    finally:
        decoder.logger.disabled = False


def pagination_class() -> Any:
    """Return the LMS's pagination class; None if its library is missing."""
    try:
        return import_string("edx_rest_framework_extensions.paginators.DefaultPagination")
    except ImportError:
        return None


def _model(label: str) -> type[Model] | None:
    try:
        return apps.get_model(label)
    except LookupError:
        return None


def username_problem(username: str) -> str | None:
    """Return why an account of this name cannot be created, in one sentence; None if it can.

    The LMS's rules are those of its registration form (openedx/core/djangoapps/user_api/accounts/api.py).
    """
    if _model(_PROFILE) is None:
        field: Any = get_user_model()._meta.get_field(get_user_model().USERNAME_FIELD)
        try:
            field.clean(username, None)
        except ValidationError as error:
            return " ".join(error.messages)
        return None
    prefix = getattr(settings, "RETIRED_USERNAME_PREFIX", "")
    if prefix and username.lower().startswith(prefix.lower()):
        return _("names that begin with %s are kept for retired accounts.") % prefix
    if getattr(settings, "FEATURES", {}).get("ENABLE_UNICODE_USERNAME"):
        validate: Callable[[str], None] = RegexValidator(rf"^{getattr(settings, 'USERNAME_REGEX_PARTIAL', '')}\Z")
    else:
        validate = validate_slug
    try:
        validate(username)
    except ValidationError:
        return _("use letters A-Z and a-z, digits, '_' and '-'.")
    if len(username) not in _USERNAME_LENGTHS:
        return _("use 2 to 30 characters, as the LMS wants it.")
    return None


class NewUser(NamedTuple):
    """Values of an account to create."""

    username: str
    email: str
    staff: bool
    superuser: bool
    full_name: str


def create_users(wanted: Sequence[NewUser]) -> list[Any]:
    """Create users with unusable passwords and, in the LMS, with profiles; all signal receivers run.

    The profile is made here and not by the LMS's ``_called_by_management_command`` flag, which would also report the
    user to marketing (common/djangoapps/student/models/user.py, user_post_save_callback).

    Raises:
        InvalidSpec: if a receiver of the LMS refuses an account.
    """
    try:
        users = _saved_users(wanted)
    except ValidationError as error:
        raise InvalidSpec(" ".join(error.messages), field="username") from None
    except TypeError as error:  # A required argument of create_user() is missing.
        raise InvalidSpec(
            _("the site's user model needs more than a username and an email address: %s.") % error, field="username"
        ) from None
    except Exception as error:
        # The LMS's own class, common.djangoapps.student.helpers.AccountValidationError, known here by its name.
        if type(error).__name__ != "AccountValidationError":
            raise
        raise InvalidSpec(str(error), field=getattr(error, "field", None) or "username") from None
    profile = _model(_PROFILE)
    if profile is not None and users:
        there = set(profile._default_manager.filter(user__in=users).values_list("user", flat=True))
        missing = [
            profile(user=user, name=each.full_name)
            for user, each in zip(users, wanted, strict=True)
            if user.pk not in there
        ]
        bulk_insert(missing)
    return users


def usernames_are_emails() -> bool:
    """Return True if people log in with their email address (USERNAME_FIELD)."""
    users: Any = get_user_model()
    return bool(users.get_email_field_name() == users.USERNAME_FIELD)


def _saved_users(wanted: Sequence[NewUser]) -> list[Any]:
    users: Any = get_user_model().objects
    if len(wanted) > 1 and type(users).create_user is UserManager.create_user:
        # What that does, for all at once.
        rows = [
            users.model(
                username=users.model.normalize_username(each.username),
                email=users.normalize_email(each.email),
                password=make_password(None),
                is_staff=each.staff,
                is_superuser=each.superuser,
            )
            for each in wanted
        ]
        bulk_insert(rows, key="username", saved_by=AbstractBaseUser.save)
        return rows
    model: Any = get_user_model()
    return [
        users.create_user(
            **{model.get_email_field_name(): each.email, model.USERNAME_FIELD: each.username},
            password=None,
            is_staff=each.staff,
            is_superuser=each.superuser,
        )
        for each in wanted
    ]


def registered_roles() -> frozenset[str] | None:
    """Return the names of the course and global roles (common/djangoapps/student/roles.py); None without any."""
    if _model(_COURSE_ROLE) is None:
        return None
    return frozenset(import_module(f"{apps.get_app_config('student').name}.roles").REGISTERED_ACCESS_ROLES)


def unknown_courses(course_keys: Collection[str]) -> frozenset[str]:
    """Return those of some courses that the LMS has no overview of; none where it has no overviews at all."""
    overviews = _model(_COURSE)
    if overviews is None or not course_keys:
        return frozenset()
    found = overviews._default_manager.filter(pk__in=course_keys).values_list("pk", flat=True)
    return frozenset(course_keys) - {str(key) for key in found}


def course_roles(users: Any) -> dict[Any, frozenset[str]]:
    """Return the course access roles of users (primary keys, as a list or a queryset) as rights.

    They are ``course_role:ROLE@COURSE_KEY``, ``course_role:ROLE@ORG``, or ``global_role:ROLE``.
    Source: common/djangoapps/student/models/user.py, CourseAccessRole.
    """
    roles = _model(_COURSE_ROLE)
    rights: dict[Any, frozenset[str]] = {}
    rows: Any = roles._default_manager.filter(user__in=users) if roles is not None else ()
    for row in rows:
        rights[row.user_id] = rights.get(row.user_id, frozenset()) | {_right(row)}
    return rights


def _right(row: Any) -> str:
    where = row.course_id or row.org
    return f"course_role:{row.role}@{where}" if where else f"global_role:{row.role}"


def change_course_roles(user: Any, *, add: frozenset[str], remove: frozenset[str]) -> None:
    """Make and delete the user's course access roles, row by row, as the LMS's own receivers want to see it."""
    roles = _model(_COURSE_ROLE)
    if roles is None:
        return
    for row in roles._default_manager.filter(user=user):
        if _right(row) in remove:
            row.delete()
    if remove:
        authz.unassign(user, remove & authz.roles_of_users([user.pk])[user.pk])
    for right in sorted(add):
        if authz.keeps(right):
            authz.assign(user, right)
        else:
            roles._default_manager.create(user=user, **_course_role(right))


def _course_role(right: str) -> dict[str, str]:
    """Return the columns of a right."""
    role, _at, where = right.partition(":")[2].partition("@")
    key = COURSE_KEY.fullmatch(where)
    return {"role": role, "org": key["org"] if key else where, "course_id": where if key else ""}


def remove_assignments(user: Any) -> bool:
    """Remove every role that openedx-authz keeps for a user, and return True if there was any."""
    found = authz.roles_of_users([user.pk])[user.pk]
    authz.unassign(user, found)
    return bool(found)


def is_retired(username: str) -> bool:
    """Return True if the LMS has retired the account; its username then starts with RETIRED_USERNAME_PREFIX."""
    prefix = getattr(settings, "RETIRED_USERNAME_PREFIX", "")
    return bool(prefix) and username.startswith(prefix)


def retirement_signal() -> Any:
    """Return the signal that the LMS sends when it retires an account; None if there is no LMS.

    Source: openedx/core/djangoapps/user_api/accounts/signals.py.
    """
    with suppress(AttributeError, ImportError, LookupError):
        module = import_module(f"{apps.get_app_config('user_api').name}.accounts.signals")
        return module.USER_RETIRE_LMS_CRITICAL
    return None


def retirement_of(user: Any) -> Any:
    """Return the username and email address of an account before and after its retirement; None without one.

    The LMS records a retirement when it is requested.
    """
    model = _model(_RETIREMENT)
    columns = ("original_username", "original_email", "retired_username", "retired_email")
    return model._default_manager.filter(user=user).values_list(*columns).first() if model is not None else None


def end_tokens_of_user(user: Any) -> None:
    """Revoke all tokens of an account, with the LMS's own revocation if there is one.

    Source: openedx/core/djangoapps/oauth_dispatch/api.py, destroy_oauth_tokens, which a password reset calls too.
    """
    dispatch = _model(_RESTRICTION)
    end = oauth.end_tokens_of_user
    if dispatch is not None:
        with suppress(AttributeError, ImportError):
            end = import_module(f"{dispatch.__module__.rpartition('.')[0]}.api").destroy_oauth_tokens
    end(user)


def restrictions() -> QuerySet[Any] | None:
    """Return the RestrictedApplication rows, to be joined by ``application``; None if the model is missing."""
    restricted = _model(_RESTRICTION)
    return restricted._default_manager.all() if restricted is not None else None


def access(application: Any) -> Access:
    """Return the scopes and filters that an application may request beyond the defaults; none for None."""
    return accesses([application.pk]).get(application.pk, Access()) if application is not None else Access()


def accesses(application_pks: Any) -> dict[Any, Access]:
    """Return the scopes and filters of applications (a list or a queryset); one without any is left out."""
    model = _model(_ACCESS)
    rows: Any = model._default_manager.filter(application__in=application_pks) if model is not None else ()
    return {row.application_id: Access(tuple(row.scopes), tuple(row.filters or ())) for row in rows}


def is_lms() -> bool:
    """Return True in the LMS, where applications have scopes, filters and restrictions, and get JWTs."""
    return _model(_ACCESS) is not None


def set_access(application: Any, access: Access, *, restricted: bool) -> None:
    """Leave an application with just these scopes and filters, and with this restriction.

    Source: openedx/core/djangoapps/oauth_dispatch/models.py.
    """
    accesses, restrictions_ = _model(_ACCESS), restrictions()
    if accesses is None or restrictions_ is None:
        return
    if access.scopes or access.filters:
        values = {"scopes": list(access.scopes), "filters": list(access.filters) or None}
        accesses._default_manager.update_or_create(application=application, defaults=values)
    else:
        accesses._default_manager.filter(application=application).delete()
    if not restricted:
        restrictions_.filter(application=application).delete()
    elif not is_restricted(application.pk):
        restrictions_.create(application=application)


def is_restricted(application_pk: Any) -> bool:
    """Return True if the LMS issues only expired opaque tokens to this application.

    Source: openedx/core/djangoapps/oauth_dispatch/models.py, RestrictedApplication.
    """
    return application_pk in restricted_among([application_pk])


def restricted_among(application_pks: Collection[Any]) -> frozenset[Any]:
    """Return the applications among these that are restricted."""
    rows = restrictions()
    if rows is None or not application_pks:
        return frozenset()
    return frozenset(rows.filter(application__in=application_pks).values_list("application", flat=True))
