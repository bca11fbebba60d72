"""The PostgreSQL that a development machine gets without installing one."""
