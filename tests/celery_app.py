"""The sandbox's Celery, for the workers of tests/tasks/test_workers.py: on a Redis that the environment names."""

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
    # What a worker that was killed had taken is delivered again after this many seconds.
    broker_transport_options={"visibility_timeout": 1},
)
app.autodiscover_tasks(["edx_api_provisioning"])
