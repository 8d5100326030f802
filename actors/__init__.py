"""What one session is and does: messages, the pure state machine, the actor and its bridge."""
