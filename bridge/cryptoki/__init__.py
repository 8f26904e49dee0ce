"""The meaning of PKCS #11 2.40, behind the protocol: handles, searches, operations, attribute rules, return codes.

The C library in ``bridge/native`` turns each Cryptoki function into one request and decides nothing.
"""
