"""Many photographs: a manifest in, edited images and a table out, on one machine or on a Ray cluster.

    from nulltext import batch

    for record in batch.run("photos.csv", "out", plan=batch.Plan()):
        print(record["id"], record["status"], record["error"])

Whatever is wrong with a row is in its record and stops no other; what is done already is not done again.
"""

from nulltext.batch.manifest import read_manifest
from nulltext.batch.plan import Plan
from nulltext.batch.row import Row
from nulltext.batch.run import dataset, run

__all__ = ["Plan", "Row", "dataset", "read_manifest", "run"]
