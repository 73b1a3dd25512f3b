"""The appliance: a state machine, what it is made of, and the service that runs it."""
