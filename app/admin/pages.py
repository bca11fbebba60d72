"""Templates of our own pages beside Piccolo Admin's."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader

templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True
)
