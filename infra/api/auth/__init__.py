"""Who calls over HTTP: tokens, JWTs of an OIDC issuer, the handlers of a `langgraph.json`."""

from fiel.infra.api.auth.caller import Caller, Calling

__all__ = ["Caller", "Calling"]
