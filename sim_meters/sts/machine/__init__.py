"""The meter's token machine: one token in, one result out."""
