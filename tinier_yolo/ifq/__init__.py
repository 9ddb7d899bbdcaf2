"""The integer program: what conversion makes, what the runtime runs and what the .ifq file holds.

The file's bytes: ``container`` has its outer form and checksum, ``tensors`` the names, types and bit order of its
arrays, ``metadata`` its texts, ``limits`` what a file may ask for.
"""
