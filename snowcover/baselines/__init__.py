"""What a user would do without a network: each run is compared with it, and `predict` maps with it, too."""
