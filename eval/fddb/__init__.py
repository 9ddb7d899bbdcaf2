"""FDDB: its protocol, its overlap of ellipses and rectangles, and the benchmark from files to files."""
