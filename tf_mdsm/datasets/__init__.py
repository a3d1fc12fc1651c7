"""Images: read from a source, brought to one size, served in an order that can be resumed."""
