"""Reading what others wrote: bytes of any kind are taken, or refused by a typed error."""
