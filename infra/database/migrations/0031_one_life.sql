-- Whether a token lives is what `token_now` says: it finds none whose user is gone, where this function still did.

DROP FUNCTION fiel.token_lives(uuid);
