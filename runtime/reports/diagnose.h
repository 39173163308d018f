/* SPDX-License-Identifier: MIT
 *
 * Diagnosing: the watch that looks at the workers now and then, keeps a short history and begins a snapshot where a
 * threshold of the config is passed; the snapshot of all connections, as plain data; and the files under
 * `state`/diagnose. What it all means is said in lua/moongate/diagnose.lua. On the control thread. */
#pragma once

#include "core/loop.h"
#include "native/native.h"
#include "reports/connections.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct instance;

enum {
  DIAGNOSE_SAMPLES = 120,       /* of the history */
  DIAGNOSE_PAUSE_MS = 30000,    /* at least so long between two snapshots for the same cause, but for the command */
  DIAGNOSE_PAUSE_MOST = 3600000 /* while a threshold stays passed, each pause is twice the one before, up to this */
};

/* Why a snapshot is made that no command has asked for. One for a cause holds up none for another. */
enum diagnose_cause {
  DIAGNOSE_SIGNAL,
  DIAGNOSE_CONNECTIONS, /* diagnose.connections is passed */
  DIAGNOSE_SPIKE,       /* diagnose.spike */
  DIAGNOSE_CAUSE_COUNT
};

struct diagnose_pause {
  bool has_last;
  clock_ms last_ms; /* the last snapshot */
  uint64_t ms;      /* of a threshold: until the next one, as long as it stays passed */
};

/* A moment of the history. */
struct diagnose_sample {
  clock_ms time;
  uint64_t open, connecting, accepted, ended;
  uint64_t lag_ns; /* of the worker that was latest */
  unsigned silent; /* workers that had not answered by then */
};

/* The question to one worker, each time that it is looked. */
struct diagnose_watch {
  struct message message;
  struct diagnose *owner;
  struct worker *worker;
  struct worker_sample sample; /* the worker's while `asked` */
  struct worker_sample last;
  uint64_t asked_ns, worst_ns; /* worst: since the last snapshot */
  bool asked;
};

struct diagnose {
  struct instance *instance; /* NULL: not started */
  struct diagnose_watch *watches;
  size_t count, missing;
  struct wheel_timer timer;
  struct diagnose_sample samples[DIAGNOSE_SAMPLES]; /* a ring */
  size_t sampled;                                   /* ever */
  struct selection_query all;                       /* of connections: each of them */
  struct worker_stats since;                        /* what had been counted at the last snapshot */
  clock_ms since_ms;                                /* when; at first the start */
  struct diagnose_pause pauses[DIAGNOSE_CAUSE_COUNT];
  struct list_node waiting;   /* files that are being written */
  struct blocking *keep_lost; /* the thread that was lost in the last of those; NULL: none */
};

/* Zeroed at first. After the workers' threads have begun. 0 or -ENOMEM. */
int diagnose_start(struct instance *instance);

/* No more looks. Before the threads end. */
void diagnose_stop(struct diagnose *diagnose);

/* After the threads have ended and the loop's messages are delivered. Nothing when zeroed. */
void diagnose_deinit(struct diagnose *diagnose);

/* The config has changed. */
void diagnose_reconfigure(struct diagnose *diagnose);

/* Begins a snapshot, unless there was one for the same cause just now. While another is being made, it comes after it.
 */
void diagnose_begin(struct diagnose *diagnose, enum diagnose_cause cause);

/* See native_ops.diagnose and native_ops.keep_diagnosis. */
void diagnose_ask(struct instance *instance, struct native_call *call);
void diagnose_keep(struct instance *instance, const char *trigger, const char *text, size_t size,
                   struct native_call *call);

/* diagnose_file.c: answers who waits for a file. */
void diagnose_keep_stop(struct diagnose *diagnose);

/* diagnose_report.c: the answer to diagnose_ask(). */
struct value *diagnose_report(struct ask *ask);

/* What one worker answers to that. */
struct diagnose_answer {
  struct worker_sample sample;
  struct connections_found found;
};
