"""The router that a service calls: its models, stages, state and memory."""
