"""The browser of this machine, if it has one."""

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
