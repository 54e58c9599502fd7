"""Canonical params: which values one annotation allows, and the one token that each of them has.

`param_type` builds a `ParamType` from an annotation. Equal values get one token, different ones never do;
`ParamType.decode` brings the value back, so a key needs no other record of its params.
"""

from __future__ import annotations

from warmer.core.params.build import param_type, spelled
from warmer.core.params.contract import Misfit, ParamType

__all__ = ["Misfit", "ParamType", "param_type", "spelled"]
