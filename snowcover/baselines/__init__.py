"""What a user would do without a network: each run is told beside it, and `predict` maps with it, too."""
