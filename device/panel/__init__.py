"""The button and the LEDs on the GPIO header."""
