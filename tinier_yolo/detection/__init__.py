"""From output maps to boxes: letterbox, decoding, suppression, the detector, files of detections."""
