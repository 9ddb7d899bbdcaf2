"""Images, drawing, video, cameras: everything that touches OpenCV's codecs."""
