"""Schema changes, run by Alembic when an HSM is made or opened."""
