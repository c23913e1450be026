"""What is said wherever lab keys are used: on the screen, in JSON, in ``--help`` and in the documents."""

from __future__ import annotations

LAB = "LAB ONLY: for lab keys; not STS-certified, never for real vending"

LICENCE = (
    "The operational tables of the Standard Transfer Algorithm (EA07) are distributed by the STS Association to its "
    "licensees. Real vending needs an STS-certified security module, with keys issued by the Key Management Centre."
)
