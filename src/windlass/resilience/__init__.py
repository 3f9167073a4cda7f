"""Protection against slow and failing peers: circuit breakers and minimum transfer rates."""
