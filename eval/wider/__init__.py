"""WIDER FACE: its protocol, and the benchmark from files to files."""
