"""Who calls over HTTP: tokens, JWTs of an OIDC issuer, the handlers of a `langgraph.json`."""
