"""``python -m superscope``: the command line."""

import sys

from superscope.cli import main

sys.exit(main())
