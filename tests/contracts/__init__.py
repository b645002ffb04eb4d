"""One suite per protocol; every implementation joins."""
