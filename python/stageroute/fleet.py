"""Stand-in until the fleet's constraints are merged."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fleet:
    """Nothing asked."""

    @classmethod
    def from_json(cls, stored: dict[str, object]) -> "Fleet":
        """Make it from what JSON held."""
        return cls(**stored)
