"""What several test files use: small runs, golden numbers, a model server, test programs."""
