"""The audit log: its entries, their chain, and the anchor beside the database."""
