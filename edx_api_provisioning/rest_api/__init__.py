"""Serve the REST API, which is off unless the site turns it on."""
