"""Whether a rival's package is there."""

import importlib

from stageroute.errors import MissingExtraError

__all__ = ["require_installed"]


def require_installed(module: str, rival: str) -> None:
    """Check that a rival can be imported.

    Parameters
    ----------
    module : str
        What is imported.
    rival : str
        What it is called.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"the comparison with {rival} needs it: pip install 'stageroute[rivals]'"
        ) from error
