"""What a user says: models, prices, bounds, settings, fleet, journal; checked and frozen."""
