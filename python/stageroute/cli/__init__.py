"""The command line: a file for each group of commands, loaded when its command runs."""

from stageroute.cli.app import main

__all__ = ["main"]
