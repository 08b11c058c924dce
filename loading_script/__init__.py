# SPDX-License-Identifier: Apache-2.0
"""The builder for datasets < 4, and the template of the dataset card; installed as `surglavi_hf.loading_script`."""
