"""The LMS's admin classes for users (common/djangoapps/student/admin.py)."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import UserCreationForm as BaseUserCreationForm
from django.contrib.auth.models import User

from common.djangoapps.student import admin_email_validation  # noqa: F401 (connects its receiver)
from common.djangoapps.student.models import AccountRecovery, CourseAccessRole, UserProfile


class UserProfileInline(admin.StackedInline):
    model = UserProfile
    can_delete = False


class AccountRecoveryInline(admin.StackedInline):
    model = AccountRecovery
    can_delete = False


class UserCreationForm(BaseUserCreationForm):
    email = forms.EmailField()


class UserAdmin(BaseUserAdmin):
    inlines = (UserProfileInline, AccountRecoveryInline)
    list_display = ("username", "email", "first_name", "last_name", "is_staff", "is_active", "date_joined")
    list_filter = ("is_staff", "is_superuser", "is_active", "date_joined")
    add_form = UserCreationForm
    add_fieldsets = ((None, {"fields": ("username", "email", "password1", "password2")}),)


@admin.register(CourseAccessRole)
class CourseAccessRoleAdmin(admin.ModelAdmin):
    list_display = ("id", "user", "org", "course_id", "role")
    search_fields = ("id", "user__username", "user__email", "org", "course_id", "role")
    raw_id_fields = ("user",)


admin.site.unregister(User)
admin.site.register(User, UserAdmin)
