"""The Darknet formats: cfg, .weights, data sets. Text and bytes in, plain objects out."""
