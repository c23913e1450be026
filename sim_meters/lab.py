"""The identity of a simulated meter when nobody says otherwise: published test values, known to everybody.

They are those of the STS compliance tests (STS531-1), so most examples in ``tests/vectors/sts_vectors.json`` are
tokens for this meter.
"""

from __future__ import annotations

LAB_VENDING_KEYS = {
    2: "abababababababab",
    4: "abababababababab949494949494949401234567",
}
"""By DKGA. Worthless: everybody has them."""

LAB_PAN = "600727000000000009"
LAB_SGC = "201457"

LAB_MASTER_KEY = b"LAB-MASTER-KEY-0"
"""LAB: under which DLMS keys are transferred (Security setup, class 64). Worthless, too: everybody has it."""

# Three letters are the manufacturer (FLAG code); SIM belongs to nobody that we know of.
LAB_SYSTEM_TITLE = b"SIM" + (1).to_bytes(5, "big")
