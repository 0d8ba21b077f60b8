"""Tables, figures and pages of campaigns, learning curves, data sets and benchmarks.

The functions take stores, documents and data classes. They return tables, figures or the path of a
page, and print nothing. Commands and the scripts in `evidence` call them.
"""
