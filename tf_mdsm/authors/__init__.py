"""The authors' PyTorch networks: their names, layouts and files."""
