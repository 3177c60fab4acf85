-- What tokens of the identity provider said of a person goes with the person. Row security lets each delete their own.

GRANT DELETE ON fiel.claimed TO fiel_runtime;
