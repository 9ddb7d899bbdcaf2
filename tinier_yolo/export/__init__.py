"""A network or a program in the formats of others."""
