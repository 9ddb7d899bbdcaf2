"""Many pictures through a detector."""
