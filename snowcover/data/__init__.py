"""Tiles: listed, paired, split, checked, read and fed to the training."""
