"""``java``, ``keytool`` and ``jarsigner`` with the provider in place, and where the provider is installed."""
