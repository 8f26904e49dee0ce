"""The services of an HSM, one class each; every method authorises, runs and audits its operation."""
