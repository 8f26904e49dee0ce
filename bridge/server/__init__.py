"""The server, whatever the carrier: dispatches requests to the HSM and tracks which connection uses which session."""
