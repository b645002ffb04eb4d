"""Moving a log as a whole: export, import, trim, and the format of the file."""
