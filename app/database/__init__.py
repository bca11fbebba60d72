"""PostgreSQL: engine, migrations, catalog."""
