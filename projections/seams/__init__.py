"""What the storage interfaces share: the projected store, its factory, and the background loop."""
