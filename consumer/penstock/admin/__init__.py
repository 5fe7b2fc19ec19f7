"""What operators do: the part that is no command line."""
