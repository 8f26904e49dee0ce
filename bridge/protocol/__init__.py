"""The message protocol, without I/O: frames, operations, repeated uses."""
