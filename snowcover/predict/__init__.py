"""From trained networks and whole scenes to maps of snow."""
