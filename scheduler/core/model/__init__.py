"""The nouns: ids, amounts, jobs, instances and attempts, agents, offers. Values only."""
