"""What becomes of the trials of a worker whose process is known to be dead.

Others would notice by its leases, which run out; whoever started it knows at once.
"""

import logging
import platform

from hpo.config.errors import HpoError
from hpo.files.store import LOG, ArtifactStore, trial_path
from hpo.storage.engine import Storage
from hpo.storage.leases import worker_key
from hpo.study.catalog import bury
from hpo.worker.supervisor import Death

log = logging.getLogger(__name__)

SAID = 200
"""Characters of a last word that are kept in the study."""


def bury_worker(storage: Storage, store: ArtifactStore, death: Death) -> None:
    """Give a dead worker's trials back to their studies, with its last words in their logs.

    What cannot be written now is left to the leases.
    """
    key = worker_key(platform.node(), death.pid, death.nonce)
    said = f"; it last said: {death.lines[-1][:SAID]}" if death.lines else ""
    try:
        for study, attempts in bury(storage, key, death.how + said).items():
            for number, attempt in attempts.items():
                _add_to_log(store, trial_path(study.uuid, number, attempt, LOG), death)
                log.warning("%s: trial %d comes back, its worker %s", study.name, number, death.how)
    except HpoError as error:  # a study that was deleted meanwhile, too
        log.warning("%s", error)


def _add_to_log(store: ArtifactStore, path: str, death: Death) -> None:
    before = store.get(path, digest=None) if store.exists(path) else b""
    heading = f"the worker was {death.how}; the last that it logged:"
    store.put(path, before + "\n".join([heading, *death.lines, ""]).encode())
