"""Which octets of an APDU are secrets, and the same APDU with these octets overwritten: for traces.

How to think about it: an APDU is walked through field by field, and what must not be seen is overwritten in place, so
that it keeps its length and its form. What is encrypted stays as it is. What is in clear and cannot be walked through
to its end is overwritten altogether, but for its first octet: an error here hides too much, never too little.

An answer does not say what was asked. So a ``Masker`` belongs to one conversation and has to see all of it; where it
does not know the question, it hides every string in the answer.

What is hidden:

* all of a value where a secret stands: passwords, keys, wrapped keys, tokens (``places.py``);
* whatever may be a token where one could stand: in all that is written or handed to a method, in notifications, in the
  buffers of logs;
* always the calling authentication value of an AARQ (a password, or a challenge), a dedicated key in clear, what is
  written in blocks, and the blocks of general block transfer.
"""

from cosem_objects.dlms.masking.describer import TraceDescriber
from cosem_objects.dlms.masking.masker import Masker
from cosem_objects.dlms.masking.tag_name import apdu_name
from cosem_objects.dlms.masking.walk import MASK

__all__ = ["MASK", "Masker", "TraceDescriber", "apdu_name"]
