"""The plots that a run leaves behind, each one PNG file."""
