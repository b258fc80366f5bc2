"""Evaluation: the scores of one run, and tables that compare several."""
