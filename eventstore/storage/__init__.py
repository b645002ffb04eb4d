"""Where a log is stored: the protocols, what both databases share, and a package for each."""
