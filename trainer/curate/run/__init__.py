"""Who does the steps: this machine or a cluster."""
