# SPDX-License-Identifier: Apache-2.0
"""For launchers: `accelerate launch -m surglavi_hf.cli evaluate …`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
