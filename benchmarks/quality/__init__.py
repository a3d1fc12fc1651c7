"""Quality of trained energies and of their samples: losses, Fréchet distances, outliers."""
