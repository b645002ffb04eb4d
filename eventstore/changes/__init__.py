"""Following the log: subscriptions, and what all subscriptions of one store share."""
