"""The public services of the HSM, one class each."""
