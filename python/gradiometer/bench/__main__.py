"""``python -m gradiometer.bench`` is ``gradiometer bench``."""

import sys

from gradiometer.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    main()
