"""Fixed point after training: Lin et al. 2016 (bits by SQNR) and Goyal et al. 2021 (a search, layer by layer)."""
