"""What the operating system and the event loop need done once: files, locks, forks, threads."""
