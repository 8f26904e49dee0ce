"""The message protocol, without I/O: frames, the operations table, repeated requests, conversions."""
