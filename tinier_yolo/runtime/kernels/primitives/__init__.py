"""The machine, measured: how long the few steps take that the families' inner loops consist of."""
