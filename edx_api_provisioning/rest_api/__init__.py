"""The door for programs that are not on this machine: a REST API, off unless the site turns it on."""
