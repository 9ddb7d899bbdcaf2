"""The integer kernels: a folder for each family of them, and what all share."""
