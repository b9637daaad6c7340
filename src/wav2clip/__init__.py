"""Sound in the space of pictures and words."""
