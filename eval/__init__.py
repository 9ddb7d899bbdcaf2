"""Evaluation as the benchmarks' official programs do it: FDDB, WIDER FACE, and plain YOLO-labelled sets.

Everything here reads detections and annotations; no module knows a network. A detector is any object with
``detect(rgb, thresh=..., nms=...) -> Detections`` (:class:`tinier_yolo.bulk.local.FaceDetector`).
"""
