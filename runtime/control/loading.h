/* SPDX-License-Identifier: MIT
 *
 * The loader thread: user code is run there when files are loaded, so that neither a worker nor the control thread
 * waits for it. Jobs are done one after the other, in order. */
#pragma once

#include "core/clock.h"
#include "core/error.h"
#include "core/loop.h"
#include "core/pace.h"

#include <pthread.h>
#include <stdbool.h>

struct loading {
  struct loop loop;     /* the thread's own */
  struct loop *control; /* who is answered */
  struct pace pace;     /* the thread's, for jobs that take long */
  pthread_t thread;
  bool started;
};

/* Embedded in what is to be done. */
struct loading_job {
  struct message message;
  struct loading *loading;
  void (*run)(struct loading_job *job);     /* on the loader thread */
  void (*on_done)(struct loading_job *job); /* on the control thread, after it; the job is its owner's again */
};

/* Starts the thread, all signals blocked. 0 or a negative errno and `error`. `control` outlives it. */
int loading_start(struct loading *loading, struct loop *control, struct clock *clock, struct error *error);

/* Waits for the job that runs to end (a file that loops is bounded by limits.script_time); those that have not begun,
 * and whose end has not been told, are dropped without a call. Nothing when zeroed. */
void loading_stop(struct loading *loading);

void loading_post(struct loading *loading, struct loading_job *job);
