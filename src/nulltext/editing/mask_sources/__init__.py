"""Methods that find where an edit may change the image, one a file."""
