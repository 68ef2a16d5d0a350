"""Carry out what entry points ask for."""
