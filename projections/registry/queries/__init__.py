"""Questions that the registry asks of its tables; each function reads within one snapshot."""
