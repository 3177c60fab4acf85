"""The HTTP service: routes, wire models, authentication, limits, operation. What it serves lives in `runs` and `hosts`."""
