"""Advisory event detection: causal, multivariate, without labels. See `rules.events.kernel` for how it works."""
