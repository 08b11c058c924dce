# SPDX-License-Identifier: Apache-2.0
"""The common form of SurgLaVi's evaluation, for a data set that has no other files."""

from dataclasses import dataclass

from ..common_form import CommonFiles


@dataclass(frozen=True, kw_only=True)
class CommonForm(CommonFiles):
    pass
