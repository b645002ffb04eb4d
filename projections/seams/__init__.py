"""What the storage seams share: one anatomy, a host for blocking callers, shared stores."""
