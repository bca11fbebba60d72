"""Piccolo's configuration: the engine and the apps."""

from piccolo.conf.apps import AppRegistry

from app.database.engine import DB as DB  # noqa: PLC0414 - Piccolo looks it up here

APP_REGISTRY = AppRegistry(apps=["app.piccolo_app"])
