"""What a pretrained backbone is, and what training it needs: the command `lexirec doctor --backbone`."""
