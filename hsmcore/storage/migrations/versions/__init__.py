"""One module a schema change, named by its revision."""
