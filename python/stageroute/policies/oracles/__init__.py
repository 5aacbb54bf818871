"""Policies that know what others must learn: what can be reached at most."""
