"""Fixed-point programs: networks whose tensors are integers of a few bits with a binary point. No binary weights."""
