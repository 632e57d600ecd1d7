"""What a service keeps of calls that have ended: next to nothing, however many there were."""
