"""Scenarios: what a service does to a router, and what becomes of it."""
