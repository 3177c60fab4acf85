"""Where MLflow keeps its tables in an external PostgreSQL: in the schema `mlflow` of fiel's database."""

from collections.abc import Mapping

SCHEMA = "mlflow"


def make_schema(owner_url: str) -> None:
    """Make the schema where it is missing. Raises DatabaseUnavailable."""
    import psycopg

    from fiel.infra.database.errors import unavailable

    try:
        with psycopg.connect(owner_url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    except psycopg.Error as error:
        raise unavailable(error, owner_url) from error


def address(parts: Mapping[str, str]) -> str:
    """SQLAlchemy's address of the database that libpq's `parts` name, with the schema as its search path."""
    from urllib.parse import quote, urlencode

    known = ("user", "password", "host", "port", "dbname")
    login = quote(parts.get("user", ""), safe="")
    if parts.get("password"):
        login += f":{quote(parts['password'], safe='')}"
    host, port = parts.get("host", ""), parts.get("port", "")
    more = {name: value for name, value in parts.items() if name not in known}
    more["options"] = f"{more.get('options', '')} -csearch_path={SCHEMA}".strip()
    if host.startswith("/"):  # a folder of sockets stands among the parameters
        more |= {"host": host, "port": port or "5432"}
        host = port = ""
    place = f"{login}@{host}{':' + port if port else ''}" if login else f"{host}{':' + port if port else ''}"
    return f"postgresql+psycopg://{place}/{quote(parts.get('dbname', ''), safe='')}?{urlencode(more)}"
