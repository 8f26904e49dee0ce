"""Carriers of the protocol: in-process through JPype, and the Unix socket."""
