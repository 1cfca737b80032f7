"""What the model is conditioned on: text, the reference voice, the portrait. Each file prepares one of them."""
