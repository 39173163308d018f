/* SPDX-License-Identifier: MIT
 *
 * The loader thread: user code is run there when files are loaded, so that neither a worker nor the control thread
 * waits for it. Jobs are done one after the other, in order. One that is away in a file (core/blocking.h) for longer
 * than the bound is given up: it is left behind with its thread, and another thread goes on with the loader. */
#pragma once

#include "core/blocking.h"
#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "threads/loading_thread.h"

#include <stdbool.h>
#include <stddef.h>

enum {
  LOADING_LOST_MOST = 4,       /* threads that are replaced; then what is to be loaded waits until one comes back */
  LOADING_TIME_MS = 10 * 1000, /* the bound, as long as no config says another */
  LOADING_MESSAGE_SIZE = 1024 + (LOADING_LOST_MOST + 1) * BLOCKING_SUBJECT_SIZE
};

struct account;

struct loading {
  struct loop *control; /* who is answered; NULL: loading_wait() alone is used */
  const struct log *log;
  struct loader *loader;
  const struct account *account; /* whom the process has become, once it has; NULL */
  struct loading_thread *thread; /* NULL: none can be had */
  struct loading_job *current, *first, **last;
  struct blocking *lost[LOADING_LOST_MOST + 1];
  size_t lost_count;
  uint64_t bound_ms;
  bool paced;               /* traffic comes first, from now on */
  struct wheel_timer timer; /* looks after the thread while there are jobs */
  uint64_t looked_ns;       /* when it did */
  uint64_t serial;          /* what the thread was away in */
  uint64_t away_ms;         /* for how long: never more than two looks apart count, so that a process that was stopped
                               holds it against nobody */
  bool long_is_logged;      /* the log has it */
  uint64_t none_logged_ns;  /* when it was said last that there is no thread; 0: not */
  bool waited_for;          /* loading_wait() is under way */
  bool stopping;
  void (*on_stopped)(void *context);
  void *context;
};

/* Starts the thread. 0 or a negative errno and `error`. `loader` is used by jobs alone from now on, and outlives all
 * this, as `control` and `log` do, and the last two the process when a thread is left behind. */
int loading_start(struct loading *loading, struct loop *control, const struct log *log, struct loader *loader,
                  struct error *error);

/* Has the job done after those before it. */
void loading_post(struct loading *loading, struct loading_job *job);

/* Does the job while the caller waits; nothing else may have been posted. 0: it is done, and no callback was called.
 * -ETIMEDOUT: after on_lost; the same may be tried again with another job. -EBUSY: on_refused. */
int loading_wait(struct loading *loading, struct loading_job *job);

/* How many threads are left behind, and have not come back. */
size_t loading_count_lost(struct loading *loading);

/* In what they hang, each once: how many `subjects` there are. */
size_t loading_list_lost(struct loading *loading, char subjects[LOADING_LOST_MOST + 1][BLOCKING_SUBJECT_SIZE]);

/* The file that the thread has been away in for a while, and for how long; NULL: none. Valid until the next look. */
bool loading_is_away(const struct loading *loading, struct blocking_view *view, uint64_t *ms);

/* The thread, which does nothing, ends; the next job has another one started, by the rights that the caller has then.
 */
void loading_rest(struct loading *loading);

/* What is queued is dropped, and the thread comes to its end as soon as it can, or is left behind; then on_stopped, in
 * a later event. With `control` only. */
void loading_stop(struct loading *loading, void (*on_stopped)(void *context), void *context);

/* When nothing is being done. True: a thread is left behind, which may come back at any time: it uses nothing but what
 * is its own and the log, but exit() might wait for it, so the process ends by _exit(). Nothing when zeroed. */
bool loading_deinit(struct loading *loading);
