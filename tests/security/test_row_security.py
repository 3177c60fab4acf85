"""Every table, from the catalogue: row security, for its owner too, that names the tenant; or a reason why not."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

PROCESS = "read by processes that serve all tenants and have no caller; every query of a caller names their tenant"
SEALED = f"contents are encrypted; {PROCESS}"
EXEMPT: dict[str, tuple[str, set[str]]] = {
    "in_use": (f"names of bundles and prompts, nothing of a tenant; {PROCESS}", {"kind", "name", "version"}),
    "kept": (f"texts of bundles and prompts, nothing of a tenant; {PROCESS}", {"kind", "name", "version"}),
    "migrations": ("says nothing of any tenant, and the runtime role only reads it", {"name", "sha256"}),
    "assessments": (SEALED, {"key", "problem"}),
    "catalogue_events": (f"ids, addresses and codes for a data catalogue; {PROCESS}", {"problem"}),
    "deadlines": (PROCESS, {"kind", "tenant", "owner"}),
    "drafts": (SEALED, {"key"}),
    "entries": (f"hashes and digests of runs; {PROCESS}", set()),
    "erasures": (f"names and times; {PROCESS}", {"tenant", "subject"}),
    "frames": (SEALED, {"key"}),
    "heads": ("hashes and signatures, meant to be shown", {"tenant"}),
    "lineage_places": (f"numbers of seals; {PROCESS}", {"tenant"}),
    "run_claims": (PROCESS, {"tenant", "owner", "cancel", "said"}),
    "runs": (f"who ran what and when; {PROCESS}", {"tenant", "caller", "thread"}),
    "seals": (f"hashes; {PROCESS}", {"tenant"}),
    "spans": (SEALED, {"key", "refused"}),
    "subject_keys": (
        "keys are wrapped by the master key; the ledger needs them for whoever ran",
        {"id", "tenant", "subject", "collection", "master"},
    ),
    "trace_removals": (f"ids; {PROCESS}", set()),
    "unsealed": (f"hashes; {PROCESS}", {"tenant"}),
}
"""Tables without row security: why, and their columns of text. A new column of text needs a look at the reason."""
BEFORE = "the functions that find a token by its hash, and its user, run as the owner before there is a caller"
UNFORCED = {"tokens": BEFORE, "users": BEFORE, "members": BEFORE}
THROUGH = ("FROM fiel.shelves", "FROM fiel.run_claims")
"""Tables that name the tenant for a policy that does not do so itself."""

TABLES = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner),
       (SELECT coalesce(array_agg(concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))), '{}')
          FROM pg_policy WHERE polrelid = c.oid),
       (SELECT coalesce(array_agg(attname::text), '{}') FROM pg_attribute
         WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
           AND atttypid IN ('text'::regtype, 'jsonb'::regtype, 'json'::regtype, 'varchar'::regtype, 'text[]'::regtype))
  FROM pg_class c WHERE c.relnamespace = 'fiel'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1
"""


@pytest.fixture(scope="module")
def catalogue(shared_urls) -> Sequence[tuple[Any, ...]]:
    with psycopg.connect(shared_urls.owner) as connection:
        return connection.execute(TABLES.encode()).fetchall()


def test_every_table_has_row_security_or_a_reason(catalogue) -> None:
    open_tables = {name for name, on, *_ in catalogue if not on}
    assert open_tables == set(EXEMPT)
    assert {name for name, on, forced, *_ in catalogue if on and not forced} == set(UNFORCED)


def test_every_policy_names_the_tenant(catalogue) -> None:
    for name, on, _, _, policies, _ in catalogue:
        assert bool(policies) is on, name
        for policy in policies:
            assert "fiel.caller_tenant()" in policy or any(table in policy for table in THROUGH), (name, policy)


def test_a_table_without_row_security_has_no_text_that_nobody_looked_at(catalogue) -> None:
    found = {name: set(texts) for name, on, _, _, _, texts in catalogue if not on}
    assert found == {name: texts for name, (_, texts) in EXEMPT.items()}


def test_the_runtime_role_owns_nothing_and_passes_no_wall(catalogue, shared_urls) -> None:
    assert {owner for _, _, _, owner, *_ in catalogue} == {"fiel_owner"}
    with psycopg.connect(shared_urls.owner) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolbypassrls, pg_has_role('fiel_runtime', 'fiel_owner', 'MEMBER')"
            " FROM pg_roles WHERE rolname = 'fiel_runtime'"
        ).fetchone()
        views = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'fiel'::regnamespace AND relkind IN ('v', 'm', 'f')"
        ).fetchall()
    assert row == (False, False, False)
    assert views == [], "a view or foreign table would read past row security"
