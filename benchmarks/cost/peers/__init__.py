"""The same training and sampling step by several frameworks, each in a process of its own."""
