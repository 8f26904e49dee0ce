"""Facts as data: mechanisms, key attributes, roles, quorum services."""
