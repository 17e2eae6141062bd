"""What is watched:

a queue and a task for each watched job, and the timer that asks for the roster.
"""
