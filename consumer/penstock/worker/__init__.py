"""One replica: the parent process. Read `pipeline` first."""
