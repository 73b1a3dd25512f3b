"""What `dictate doctor` checks, part by part."""
