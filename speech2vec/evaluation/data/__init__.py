"""Figures that come with the package."""
