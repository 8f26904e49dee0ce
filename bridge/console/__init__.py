"""The web page of ``hsm console``: the state of an HSM for its users, on the loopback interface."""
