"""The child's side: it runs user code and speaks to its parent alone."""
