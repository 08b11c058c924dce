# SPDX-License-Identifier: Apache-2.0
"""From narrated videos to a corpus of three levels."""
