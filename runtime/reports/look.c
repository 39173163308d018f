/* SPDX-License-Identifier: MIT
 *
 * What a look takes. */
#include "reports/look.h"

#include "connection/worker.h"
#include "net/splice_pool.h"
#include "script/worker_script.h"

void worker_look_take(struct worker_look *look, const struct worker *worker, uint64_t asked_ns, bool whole) {
  uint64_t now = clock_ns(worker->loop.clock);
  *look = (struct worker_look){
      .stats = worker->metrics->worker,
      .lag_ns = now > asked_ns ? now - asked_ns : 0,
      .open = worker->connection_count,
      .pipes = worker->pipes.pool ? splice_pool_count(worker->pipes.pool) : 0,
  };
  if (whole)
    look->script_memory = script_worker_memory(worker, &look->script_states);
}
