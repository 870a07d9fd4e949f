"""Worker processes for what may be hostile. Knows neither models nor numpy; imports `errors`."""
