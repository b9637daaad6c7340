"""Pictures, films and galleries made from sound, by optimising a canvas against an image tower."""
