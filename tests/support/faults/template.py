"""A folder with a finished study and its leftovers, to be copied for each command under a fault."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from hpo.files.store import table_path, trial_path
from hpo.lifecycle.relocation import copy_studies
from hpo.storage.engine import open_storage
from hpo.training.single import SingleTrainer
from tests.support.every_state import grow_old, put_checkpoint
from tests.support.faults.commands import Place
from tests.support.faults.setting import make_setting
from tests.support.paths import EARLIER_VERSIONS
from tests.support.servers import Server
from tests.support.workers import make_worker

N_TRIALS = 4


def make_template(folder: Path) -> None:
    """Search a study, add files that nothing needs, and write the file of a second study."""
    url = f"sqlite:///{folder}/hpo.db"
    with closing(make_setting(folder, url, n_trials=N_TRIALS, max_epochs=4)) as made:
        worker = make_worker(made.study, made.store, SingleTrainer("cpu"))
        assert worker.work(threading.Event())
        made.store.put(trial_path(made.study.uuid, 0, 7, "model.safetensors"), b"superseded")
        made.store.put(table_path("0" * 64), b"a table of no study")
        put_checkpoint(made.store, made.study, 1)
    grow_old(made.store)
    text = (folder / "faults.toml").read_text()
    (folder / "another.toml").write_text(text.replace('"faults"', '"another"'))


def copy_template(template: Path, folder: Path, *, is_old: bool, server: Server | None) -> Place:
    """Copy the template into an empty folder, and its study to a server's database if given.

    Args:
        template: from `make_template`.
        folder: an empty folder.
        is_old: whether to add `old.db`, a storage of the first version.
        server: the server of the storage; SQLite without one.
    """
    shutil.copytree(template, folder, dirs_exist_ok=True)
    if is_old:
        with closing(sqlite3.connect(folder / "old.db")) as connection:
            script = (EARLIER_VERSIONS / "storages/version_1.sql").read_text()
            connection.executescript(script)
    storage, other = f"sqlite:///{folder}/hpo.db", f"sqlite:///{folder}/other.db"
    if server is not None:
        source, storage = storage, server.database()
        with closing(open_storage(source)) as before, closing(open_storage(storage)) as after:
            copy_studies(before, after)
        (folder / "hpo.db").unlink()
    return Place(folder=folder, storage=storage, other=other)
