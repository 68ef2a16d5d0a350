"""Configure the sandbox's Celery for tests/tasks/test_workers.py, with the Redis named by the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lms.envs.sandbox")

app = Celery("lms", broker=os.environ["TEST_BROKER"])
app.conf.update(
    task_default_queue=os.environ["TEST_QUEUE"],
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    # Tasks of a killed worker are redelivered after this many seconds.
    broker_transport_options={"visibility_timeout": 1},
)
app.autodiscover_tasks(["edx_api_provisioning"])
