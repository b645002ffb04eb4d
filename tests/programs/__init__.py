"""Programs that tests run as processes of their own: ``python -m programs.NAME ARGUMENTS``."""
