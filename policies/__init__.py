"""What is allowed: bundles as code, one module a check, and the evaluation that runs them and fails closed."""
