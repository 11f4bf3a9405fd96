"""Losses that no library has, and theirs fitted to masks with unobserved pixels."""
