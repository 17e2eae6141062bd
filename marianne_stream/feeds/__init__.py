"""What one viewer gets, from its cursor through the handover to the live end."""
