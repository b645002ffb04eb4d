"""The console in headless Chromium, which drives it as a reader would."""
