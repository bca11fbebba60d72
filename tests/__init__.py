"""Imported before every test: nothing of this machine's settings may reach the application."""

import os

from app.settings import Settings

os.environ["ENV_FILE"] = os.devnull
for _name in Settings.__struct_fields__:
    os.environ.pop(_name, None)
