"""Images that jobs run in: built, checked, pushed."""
