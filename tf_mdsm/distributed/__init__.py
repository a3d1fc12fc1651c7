"""Training on several devices and machines: strategies, workers, descriptions of a cluster."""
