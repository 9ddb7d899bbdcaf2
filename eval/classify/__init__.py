"""Top-1 and top-k accuracy of classifiers."""
