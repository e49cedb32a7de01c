"""From finding to person: incidents (pure), the outbox and the channels it is relayed over."""
