"""Training configs of robosat.pink and planet-snowcover, TOML, as experiments of ours."""
