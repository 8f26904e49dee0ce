"""Access to the HSM: the message protocol, its carriers, the command lines, the launchers, the pytest plugin."""
