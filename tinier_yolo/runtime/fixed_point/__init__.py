"""Fixed-point programs at run time: their plan, and maps kept from trial to trial of a search."""
