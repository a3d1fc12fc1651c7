"""The same training step and sampling step in several frameworks, each in its own process."""
