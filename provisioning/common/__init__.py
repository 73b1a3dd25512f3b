"""What image, installer and updates share."""
