"""The process that serves an HSM: its files, log, metrics and hardening."""
