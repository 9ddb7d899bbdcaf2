"""Post-training quantisation on calibration images: trials with a metric, the three methods, what is reported."""
