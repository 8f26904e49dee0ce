"""Every way into the HSM: the message protocol, its carriers, the command line, the launchers, the pytest plugin."""
