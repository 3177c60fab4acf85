"""OpenAI's shapes over runs: what is asked becomes a run, and its end an answer."""
