"""Keys: records, policy, generation, search and the key ring."""
