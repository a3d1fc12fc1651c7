"""One file a mode of the program, and the builders from a configuration to objects."""
