"""Narrow layers on large maps: pixels in the lanes."""
