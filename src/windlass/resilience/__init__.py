"""What the house does when a part that it talks to is away."""
