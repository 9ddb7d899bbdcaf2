"""The page of a detector and detection over HTTP."""
