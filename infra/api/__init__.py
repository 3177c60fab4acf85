"""The HTTP service: routes, wire models, authentication, limits, operation. What it serves: `runs` and `hosts`."""
