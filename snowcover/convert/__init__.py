"""Converts training configs (TOML) of robosat.pink and planet-snowcover to experiments."""
