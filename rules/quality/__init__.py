"""Quality of readings after QARTOD: flags beside untouched values, and the health of the sensors they come from. Pure."""
