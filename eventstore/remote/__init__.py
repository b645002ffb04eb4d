"""What a store by URL and the server say to each other: the words, the errors, the connection."""
