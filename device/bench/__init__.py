"""`dictate bench`: latency, processor time, memory, energy and errors of one configuration beside another.

cases     what is measured: configurations and sweeps, and in which order
runner    a child process for each case and repetition; what is read about it from outside
worker    that child: one engine, made to listen
engines   one file for each engine, behind the interface of engine.py
record    what was measured, as JSON
figures   percentiles, ratios and their spread
table, page, plots   the report for people
"""
