"""The integer program: what conversion makes, what the runtime runs and what the .ifq file holds."""
