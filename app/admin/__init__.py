"""The administrators' page: Piccolo Admin behind our own doors.

Reading is Piccolo's. Every write goes through `changes.py` to the services that the API uses.
"""
