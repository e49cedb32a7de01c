"""The same load through what most projects run and through ours: same broker, same database behind it, one run."""
