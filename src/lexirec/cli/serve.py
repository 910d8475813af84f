"""Commands of the service: `serve`, `key`, `export-events`, `import-events`, `serve-backup`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lexirec.cli.options import DEFAULT_STORE, JsonOption, NameArgument, SetOption, StoreOption, WithOption, app
from lexirec.core.errors import SettingsError
from lexirec.core.store import Store

if TYPE_CHECKING:
    from lexirec.serving.database.opening import Database
    from lexirec.serving.settings import Configured, ServeSettings

ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="serve.toml", help="Settings of the service.")]
MigrateOption = Annotated[bool, typer.Option("--migrate", help="Bring the database's schema up to date.")]


@app.command()
def serve(
    name: NameArgument,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address; another one than loopback needs a key.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 for a free one.")] = None,
    set_: SetOption = None,
    with_: WithOption = None,
    migrate: MigrateOption = False,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow another address without a key.")] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print all settings with their origins, and exit.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Serve recommendations of a finished experiment over HTTP."""
    given = [f"host={host}"] if host is not None else []
    given += [f"port={port}"] if port is not None else []
    given += ["auth.insecure=true"] if insecure else []
    overrides = [*(set_ or []), *given]
    configured = serve_settings(config, overrides)
    if print_config:
        typer.echo("\n".join(configured.lines()))
        return
    from lexirec.serving.starting import start_service

    def reread() -> ServeSettings:
        return serve_settings(config, overrides).settings

    start_service(Store(store), name, with_, configured.settings, migrate=migrate, reread=reread)


@app.command()
def key(
    action: Annotated[str, typer.Argument(metavar="add|list|revoke", help="What to do.")],
    key_name: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Name of the key.")] = None,
    experiment: Annotated[
        str | None, typer.Option("--for", metavar="NAME", help="The experiment that is served.")
    ] = None,
    scope: Annotated[str, typer.Option(help="read, write and admin, separated by commas.")] = "read,write",
    config: ConfigOption = None,
    set_: SetOption = None,
    json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Make, list or revoke the keys of a service; a new key is shown once."""
    from lexirec.cli.serve_output import print_key, print_keys

    if action not in ("add", "list", "revoke"):
        raise SettingsError(f"key {action}: there are add, list and revoke")
    if action != "list" and key_name is None:
        raise SettingsError(f"key {action}: name the key, such as lexirec key {action} web")
    with open_database_of(config, set_, store, experiment) as database:
        if action == "list":
            print_keys(database.keys.every(), json)
        elif action == "add":
            scopes = [each.strip() for each in scope.split(",") if each.strip()]
            print_key(str(key_name), database.keys.add(str(key_name), scopes), json)
        else:
            database.keys.revoke(str(key_name))
            typer.echo(f"{key_name} is revoked", err=True)


@app.command(name="import-events")
def import_events(
    name: NameArgument, config: ConfigOption = None, set_: SetOption = None, store: StoreOption = DEFAULT_STORE
) -> None:
    """Give a service the events of its experiment's tables, so that it knows their users; may be repeated."""
    with open_database_of(config, set_, store, name) as database:
        from lexirec.workflows.first_events import import_experiment_events

        done = import_experiment_events(Store(store), name, database)
    refused = f"; {done.rejected:,} are refused: {done.first_reason}" if done.rejected else ""
    typer.echo(f"{done.accepted:,} events are new, {done.duplicates:,} were there already{refused}", err=True)


@app.command(name="export-events")
def export_events(
    name: NameArgument,
    out: Annotated[Path, typer.Option("--out", help="File, .parquet or .csv.")],
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only events of this type; may be repeated.")
    ] = None,
    no_sessions: Annotated[
        bool, typer.Option("--no-sessions", help="Leave out sessions that no user took over.")
    ] = False,
    unknown_items: Annotated[
        bool, typer.Option("--unknown-items", help="Also events of items that the catalogue lacks.")
    ] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write the events of a service as the table that [data] reads."""
    from lexirec.serving.database.export import export_events as export
    from lexirec.serving.starting import served_items

    with open_database_of(config, set_, store, name) as database:
        known = None if unknown_items else served_items(Store(store), name)
        done = export(database.access, out, types=type_, known=known, sessions=not no_sessions)
    left = (
        f"; {done.left_out:,} of other types or of items that the catalogue lacks are left out" if done.left_out else ""
    )
    typer.echo(f"{done.events:,} events of {done.users:,} users written to {out}{left}", err=True)


@app.command(name="serve-backup")
def serve_backup(
    name: NameArgument,
    out: Annotated[Path, typer.Option("--out", help="File of the copy.")],
    config: ConfigOption = None,
    set_: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Copy the database of a service while it runs (SQLite; for PostgreSQL it says how)."""
    from lexirec.serving.database.backup import back_up

    with open_database_of(config, set_, store, name) as database:
        back_up(database.access, out)
    typer.echo(f"the database is copied to {out}", err=True)


def serve_settings(config: Path | None, overrides: list[str]) -> Configured:
    """Read the settings of a service."""
    try:
        from lexirec.serving.settings import read_settings
    except ImportError as error:
        raise SettingsError(f"the service needs {error.name}: pip install 'lexirec[serve]'") from None
    return read_settings(config, overrides)


def open_database_of(config: Path | None, overrides: list[str] | None, store: Path, name: str | None) -> Database:
    """Open the database of a service."""
    settings = serve_settings(config, overrides or []).settings
    try:
        from lexirec.serving.starting import open_for
    except ImportError as error:
        raise SettingsError(f"the service needs {error.name}: pip install 'lexirec[serve]'") from None
    return open_for(settings, Store(store), name)
