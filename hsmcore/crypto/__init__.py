"""Cryptographic operations with the keys of the HSM."""
