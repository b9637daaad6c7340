"""The page and its JSON API: a library searched, heard and seen in a browser."""
