"""Scores of a run, and the tables of several."""
