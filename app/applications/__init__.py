"""Apps: manifests, versions and the settings of rooms."""
