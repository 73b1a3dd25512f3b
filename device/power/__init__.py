"""Battery and supply: sensors, log, monitor, report."""
