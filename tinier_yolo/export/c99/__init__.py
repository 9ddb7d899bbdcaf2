"""A program as C: strict C99 without allocation and floats, and a test that proves its bits on any machine."""
