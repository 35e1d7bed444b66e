"""What a run would need and take on machines that are not here, read from what the compiler makes of its step."""
