"""What is watched: a queue and a task for each job, and the timer that asks for the roster."""
