"""`python -m snowcover.prepare`: satellite scenes and lidar snow depth in, z/x/y tiles out."""
