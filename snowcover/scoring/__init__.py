"""Confusion counts, the scores made of them, what runs are chosen by, and calibration. Pure."""
