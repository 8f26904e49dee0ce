"""``java``, ``keytool`` and ``jarsigner`` with the provider registered, and the installation of the provider."""
