"""From a request to a call of the HSM and back."""
