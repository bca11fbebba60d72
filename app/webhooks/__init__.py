"""Webhooks: what happens in the rooms of an app is sent to where it says, signed."""
