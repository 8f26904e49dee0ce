"""The store: schema, migrations and queries, over SQLAlchemy. It never sees plaintext key material."""
