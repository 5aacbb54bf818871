"""Policies to compare StageRoute with; each module a family, with what makes it strong."""
