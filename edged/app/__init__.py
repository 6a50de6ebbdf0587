"""The only place that builds objects and knows them all; opens the one task tree."""

from edged.app.run import run_controller

__all__ = ["run_controller"]
