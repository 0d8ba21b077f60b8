"""Campaigns whose jobs are jobflow-remote's: a runner of its own hands them to workers.

A worker's job runs as one launch with a fence, as under FireWorks (`remote.job`). What the runner
or a worker leaves when it dies is found by `remote.repair`. See docs/managers.md.
"""
