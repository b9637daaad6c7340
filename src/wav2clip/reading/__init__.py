"""Files of strangers, read by processes of their own, so that a crash costs one file."""
