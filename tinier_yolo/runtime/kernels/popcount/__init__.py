"""Sums from counted bits: any layer."""
