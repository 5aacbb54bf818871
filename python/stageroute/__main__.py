"""``python -m stageroute`` is the command line."""

import sys

from stageroute.cli import main

if __name__ == "__main__":
    sys.exit(main())
