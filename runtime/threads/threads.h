/* SPDX-License-Identifier: MIT
 *
 * The worker threads: started once everything that they need is there, told to drain and to stop by messages, joined
 * when they have said that they are done. Lives on the control thread. */
#pragma once

#include "connection/admission.h"
#include "connection/worker.h"
#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>

struct account;
struct threads;

/* An order to a worker, and its way back to say that it is carried out. */
struct thread_order {
  struct message message;
  struct thread *thread;
  uint64_t ms;
};

struct thread {
  struct worker worker;
  struct threads *threads;
  struct thread_order drain, stop;
  struct message ended;
  struct deferred ending; /* of a worker that has no thread (worker_settings.within) */
  bool initialised, started;
  bool drained; /* its connections are gone */
  bool is_over; /* it has said that it has ended */
};

struct threads {
  struct loop *loop; /* the control thread's */
  struct thread **threads;
  size_t count;
  struct admission admission;        /* what they count together */
  struct failures *failures;         /* what they know of targets */
  size_t started, drained, ended;    /* how many */
  void (*on_drained)(void *context); /* no connection is left in any of them */
  void (*on_ended)(void *context);   /* all have left their loops and can be joined */
  void *context;
};

/* Makes `count` workers, not running yet, which remember `addresses` addresses for limits. 0 or a negative errno and
 * `error`; threads_deinit() in either case. */
int threads_init(struct threads *threads, unsigned count, struct loop *loop, const struct log *log,
                 const struct worker_settings *settings, size_t addresses, struct error *error);

/* Gives all of them the table, before they run. `resolved`: see worker_set_table(). */
int threads_set_table(struct threads *threads, struct route_table *table, uint16_t *resolved, struct error *error);

/* Starts them, all signals blocked, with what the account leaves them of capabilities. 0 or a negative errno and
 * `error`: then some may run. */
int threads_start(struct threads *threads, const struct account *account, struct error *error);

/* Nothing new, idle connections closed at once, the others after `ms`; then on_drained. */
void threads_drain(struct threads *threads, uint64_t ms);

/* Ends all connections and leaves the loops; then on_ended. May follow threads_drain() at any time. */
void threads_stop(struct threads *threads);

/* The number of a worker that has been started and has not ended; 0: there is none. */
unsigned threads_find_running(const struct threads *threads);

/* Joins the threads and releases all. Those that run must have been told to stop: it waits for them. Nothing when it is
 * zeroed. */
void threads_deinit(struct threads *threads);
