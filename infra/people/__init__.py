"""Who is who in a tenant: users, groups and roles, kept by administrators or told by an identity provider."""
