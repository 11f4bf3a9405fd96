"""The story of one run: run.py, top to bottom."""
