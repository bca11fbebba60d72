"""Tells Piccolo where the tables and the migrations are."""

from piccolo.conf.apps import AppConfig

from app.database.migrations import APP_NAME, FOLDER
from app.tables import TABLES

APP_CONFIG = AppConfig(
    app_name=APP_NAME,
    migrations_folder_path=str(FOLDER),
    table_classes=list(TABLES),
)
