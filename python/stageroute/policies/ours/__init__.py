"""StageRoute: as it is, with other settings, as published, and with context."""
