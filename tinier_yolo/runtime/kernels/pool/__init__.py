"""Max pools that no convolution kernel does along the way; not a family, but what families use behind a convolution."""
