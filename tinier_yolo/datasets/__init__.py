"""What is known of images: labels, the annotations of the benchmarks, and what follows from them."""
