"""Starting the command line of a folder that is not installed."""
