"""Several devices and machines: strategies, workers, cluster descriptions."""
