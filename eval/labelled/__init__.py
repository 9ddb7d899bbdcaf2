"""A YOLO-labelled set: AP and ROC over plain boxes, and the benchmark from a .data file to files."""
