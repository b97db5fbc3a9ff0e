"""Experts that are reviewed code in this project: structured answers, real effects."""
