"""Who won what: awards and revocations."""
