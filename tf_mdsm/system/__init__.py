"""Everything that deals with the operating system: files, locks, signals, memory, terminal."""
