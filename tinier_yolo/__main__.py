"""``python -m tinier_yolo``."""

import sys

from tinier_yolo.cli import main

if __name__ == "__main__":
    sys.exit(main())
