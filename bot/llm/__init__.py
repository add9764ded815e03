"""A streamed chat completion, from any server that speaks OpenAI's protocol, as events."""
