"""Emotions of new recordings."""
