"""The first layer, from the bytes of an image."""
