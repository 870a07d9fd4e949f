"""A miniature Taskonomy: twenty tasks on rendered rooms, zoos of encoders, measured transfer."""
