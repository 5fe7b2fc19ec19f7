"""Where results go: the only room that imports redis."""
