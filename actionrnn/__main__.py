"""`python -m actionrnn`: the same as the `actionrnn` command."""

import sys

from actionrnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
