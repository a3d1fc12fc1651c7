"""Image data sets: read from a source, resized to one size, served as reproducible batches."""
