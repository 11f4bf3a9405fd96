"""What a satellite's files are called and what their numbers mean: a file each, without reading rasters."""
