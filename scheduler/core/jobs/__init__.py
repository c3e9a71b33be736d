"""What a job needs next: one planner a kind of job."""
