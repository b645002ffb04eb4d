"""Directories of rule files: scanned, parsed, reconciled with the log, and watched."""
