"""From YAML and the command line to settings, and what is said of wrong ones."""
