"""What an APDU says, as a tree of names and words: for the translator, and for traces.

How to think about it: the decoders of ``dlms/apdu`` say whether octets are an APDU and what it means to a program;
here the same octets are read once more for a person, who also wants to know *where* each thing stands, and what could
be read before it went wrong. Each field that is read becomes a ``Node``; an error ends the reading, and stands in the
tree at its place. What was said before in a conversation (requests, blocks, titles, keys) is kept in a ``Context``.

Secrets (passwords, keys, tokens) do not enter the tree at all, unless the context says so.
"""

from cosem_objects.dlms.describe.apdu import TAGS, describe_apdu, describe_data, describe_next
from cosem_objects.dlms.describe.context import Context, Keys
from cosem_objects.dlms.describe.naming import Place
from cosem_objects.dlms.describe.node import Node
from cosem_objects.dlms.describe.source import Source

__all__ = ["TAGS", "Context", "Keys", "Node", "Place", "Source", "describe_apdu", "describe_data", "describe_next"]
