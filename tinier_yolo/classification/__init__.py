"""From the map of a classifier to classes and scores, and from an image to the classifier's input."""
