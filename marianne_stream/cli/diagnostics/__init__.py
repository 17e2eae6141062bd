"""What a server needs and how it is: the checks behind `marianne-stream check`."""
