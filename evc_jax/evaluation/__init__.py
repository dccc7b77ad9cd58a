"""Objective measures of what the system produces."""
