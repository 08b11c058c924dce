# SPDX-License-Identifier: Apache-2.0
"""Templates of model cards; installed as `surglavi_hf.model_card`."""
