"""A package, for another distribution installs one of this name, which a folder alone would lose to."""
