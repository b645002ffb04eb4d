"""What only a log in a file has: other processes, crashes, damage."""
