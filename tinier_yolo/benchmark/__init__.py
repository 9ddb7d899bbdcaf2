"""How fast this machine detects: the network step by step, videos, the start of the program, and the most it could."""
