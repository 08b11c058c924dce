# SPDX-License-Identifier: Apache-2.0
"""A drawn corpus, and the whole road walked on it: `surglavi demo`."""
