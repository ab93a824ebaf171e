"""Connections to PostgreSQL, and what a table of vectors looks like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from ragshield.errors import (
    IncompleteError,
    InputError,
    MissingExtraError,
    RagshieldError,
    StoreError,
    UsageError,
)
from ragshield.stores.columns import Columns, choose_columns, split_options
from ragshield.stores.passwords import masked, remember, with_password

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

_VECTORS = frozenset({"vector", "halfvec", "sparsevec"})
_LANGCHAIN = "langchain_pg_embedding"
_PATIENCE_S = 10
_NO_PASSWORD = "; set PGPASSWORD, or write a line for it into ~/.pgpass"


class Address(NamedTuple):
    """What a URL names.

    Attributes:
        server: what psycopg connects by, `postgresql://...`.
        schema: None = wherever the search path finds the table.
        table: its name.
        options: columns named by the user, and `collection`.
    """

    server: str
    schema: str | None
    table: str
    options: Mapping[str, str]


class Table(NamedTuple):
    """A table as it stands in the database.

    Attributes:
        schema: where it is.
        name: its name.
        oid: its number.
        columns: which column holds what.
        kinds: type of each column, as SQL writes it.
        width: of the vectors, where the column fixes it.
        collection: of LangChain's table of all collections: its UUID; else None.
    """

    schema: str
    name: str
    oid: int
    columns: Columns
    kinds: Mapping[str, str]
    width: int | None
    collection: str | None

    @property
    def identifier(self) -> Composable:
        """Its name, quoted."""
        from psycopg.sql import Identifier

        return Identifier(self.schema, self.name)


def address_of(url: str) -> Address:
    """Take a URL apart.

    Raises:
        UsageError: it names no server or no table.
    """
    place, _, name = url.removeprefix("pgvector:").rpartition("#")
    table, options = split_options(name, shown(url), allowed=("collection",))
    if not place.startswith(("postgresql://", "postgres://")) or not table:
        raise UsageError(
            f"store URL '{shown(url)}': write pgvector:postgresql://USER@HOST/DATABASE#TABLE"
        )
    schema, dot, own = table.rpartition(".")
    return Address(place, schema if dot else None, own, options)


def shown(url: str) -> str:
    """The URL without its password: what messages may say."""
    return masked(url)


def connected(url: str, *, writable: bool = False) -> Connection[Any]:
    """A connection in autocommit; one that is not `writable` cannot change anything.

    A URL without a password uses the one that this process connected with before; else
    `PGPASSWORD` or `~/.pgpass`, as all of PostgreSQL's programs do.

    Raises:
        StoreError: the server is not there, or refuses.
        MissingExtraError: psycopg is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError(
            "pgvector: needs psycopg: pip install 'ragshield[pgvector]'"
        ) from error
    with translated(url):
        connection = psycopg.connect(
            address_of(with_password(url)).server,
            autocommit=True,
            connect_timeout=_PATIENCE_S,
            application_name="ragshield",
        )
        if not writable:
            connection.execute("SET default_transaction_read_only = on")
    remember(url)
    return connection


def find_table(connection: Connection[Any], url: str) -> Table:
    """The table that a URL names, and what its columns hold.

    Raises:
        StoreError: no such table, no column is recognisable, or it holds several of
            LangChain's collections and the URL names none.
    """
    from psycopg.sql import Identifier

    address = address_of(url)
    names = [name for name in (address.schema, address.table) if name is not None]
    quoted = Identifier(*names).as_string(connection)
    with translated(url):
        found = connection.execute(
            "SELECT c.oid, n.nspname, c.relname, c.relkind::text FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)",
            [quoted],
        ).fetchone()
        if found is None:
            raise StoreError(f"{shown(url)}: no table {address.table} in this database")
        oid, schema, name, kind = found
        if kind != "r":
            what = {"v": "a view", "m": "a materialised view", "p": "partitioned"}.get(kind, kind)
            raise StoreError(f"{shown(url)}: {name} is {what}; name a plain table or one partition")
        columns = connection.execute(
            "SELECT attname, format_type(atttypid, NULL), atttypmod, "
            "attgenerated::text <> '' OR attidentity::text <> '' "
            "OR coalesce(pg_get_expr(adbin, adrelid) LIKE 'nextval(%%', false) "
            "FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
            "WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [oid],
        ).fetchall()
        kinds = {row[0]: row[1] for row in columns}
        vectors = [row[0] for row in columns if row[1].rpartition(".")[2] in _VECTORS]
        hidden = {row[0] for row in columns if row[3]}
        collection = None
        if name == _LANGCHAIN:
            hidden.add("collection_id")
            collection = _collection(connection, url, schema, address.options.get("collection"))
        chosen = choose_columns(
            shown(url), list(kinds), vectors=vectors, asked=address.options, hidden=hidden
        )
    width = next((row[2] for row in columns if row[0] == chosen.vector and row[2] > 0), None)
    return Table(schema, name, oid, chosen, kinds, width, collection)


def other_tables(url: str) -> list[str]:
    """What stands behind the `#` for every other table of vectors that this role may read.

    Of LangChain's table of all collections each one counts by itself.

    Raises:
        StoreError: the server cannot be asked.
    """
    with closing(connected(url)) as connection, translated(url):
        own = find_table(connection, url)
        tables = connection.execute(
            "SELECT DISTINCT c.oid, n.nspname, c.relname, pg_table_is_visible(c.oid) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped "
            "JOIN pg_type t ON t.oid = a.atttypid "
            "WHERE c.relkind = 'r' AND t.typname = ANY(%s) "
            "AND has_table_privilege(c.oid, 'SELECT')",
            [sorted(_VECTORS)],
        ).fetchall()
        found = []
        for oid, schema, name, visible in tables:
            shown_name = name if visible else f"{schema}.{name}"
            if name == _LANGCHAIN:
                for collection, uuid in _collections(connection, schema).items():
                    if (oid, uuid) != (own.oid, own.collection):
                        found.append(f"{shown_name}?collection={quote(collection)}")
            elif oid != own.oid:
                found.append(shown_name)
    return sorted(found)


def _collections(connection: Connection[Any], schema: str) -> dict[str, str]:
    """The UUID of each of LangChain's collections, by its name."""
    from psycopg.sql import SQL, Identifier

    table = Identifier(schema, "langchain_pg_collection")
    rows = connection.execute(SQL("SELECT name, uuid::text FROM {} ORDER BY name").format(table))
    return dict(rows.fetchall())


def _collection(connection: Connection[Any], url: str, schema: str, asked: str | None) -> str:
    known = _collections(connection, schema)
    if asked is None and len(known) == 1:
        return str(next(iter(known.values())))
    if asked is None or asked not in known:
        what = "holds several collections" if asked is None else f"has no collection '{asked}'"
        raise StoreError(
            f"{shown(url)}: LangChain's table {what} (there are: {', '.join(known) or 'none'}); "
            "name one with ?collection=NAME"
        )
    return str(known[asked])


@contextmanager
def translated(url: str) -> Iterator[None]:
    """What psycopg raises, as one line that says what to do."""
    import psycopg
    from psycopg import errors

    try:
        yield
    except RagshieldError:
        raise
    except (errors.DiskFull, errors.OutOfMemory) as error:
        raise IncompleteError(
            f"{shown(url)}: the server is out of room ({_line(error)}); nothing is lost, make "
            "room and do this again"
        ) from error
    except (errors.LockNotAvailable, errors.ObjectInUse) as error:
        raise StoreError(
            f"{shown(url)} is in use: {_line(error)}; try again when nobody works with the table"
        ) from error
    except (errors.IntegrityError, errors.DataError) as error:
        raise InputError(f"{shown(url)}: the table refuses it: {_line(error)}") from error
    except psycopg.Error as error:
        hint = _NO_PASSWORD if "no password supplied" in str(error) else ""
        raise StoreError(f"{shown(url)}: {_line(error)}{hint}") from error


def _line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return f"{shown(text.splitlines()[0]):.300}"
