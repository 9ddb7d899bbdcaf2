"""Files of detections, one module a format."""

#: What ``detect --format`` takes.
FORMATS = ("json", "jsonl", "csv", "yolo", "fddb", "wider")
#: Those of them that write files of their own into the output folder; the others are one text.
FOLDER_FORMATS = ("yolo", "wider")
