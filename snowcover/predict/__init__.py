"""Snow maps of whole scenes from trained networks."""
