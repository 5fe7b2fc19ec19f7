"""The only way of a test to a broker, a store and a worker."""
