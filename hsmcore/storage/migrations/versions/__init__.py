"""One module per schema change, named by its revision."""
