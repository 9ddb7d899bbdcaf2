"""Wide layers: sums looked up in tables."""
