"""Ways to reach people, one adapter per file. What they share stands in `base`."""
