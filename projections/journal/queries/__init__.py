"""Questions that the journal asks of its tables; each function reads within one snapshot."""
