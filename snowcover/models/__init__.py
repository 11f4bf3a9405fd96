"""Networks that no library has, pretrained filters on other bands, and the network that maps raw tiles."""
