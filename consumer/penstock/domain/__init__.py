"""What penstock decides, without clock, socket, thread or random source."""
