"""SVG pictures: charts, LED patterns, wiring."""
