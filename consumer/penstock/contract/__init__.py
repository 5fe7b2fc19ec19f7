"""What a developer does with contracts: write them from signatures, check them, draft them for libraries."""
