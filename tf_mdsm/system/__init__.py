"""What touches the operating system: files, locks, signals, memory."""
