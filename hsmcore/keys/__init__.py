"""Keys: records, attributes, policy, generation, lookup and storage."""
