"""Set defaults in the settings of the LMS."""
