"""Paint label maps, resample noise and drag heatmap centres, in a browser."""
