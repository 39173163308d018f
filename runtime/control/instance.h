/* SPDX-License-Identifier: MIT
 *
 * What `moongate run` runs: config, routes, workers, signals, admin listeners, from start to stop. */
#pragma once

#include "admin/admin.h"
#include "loading/load.h"
#include "native/native.h"
#include "process/instance_lock.h"
#include "process/signals.h"
#include "reload/reload.h"
#include "reports/connections.h"
#include "reports/diagnose.h"
#include "reports/routes_report.h"
#include "routing/table.h"
#include "threads/folding.h"
#include "threads/heartbeat.h"
#include "threads/loading.h"
#include "threads/names.h"
#include "threads/snapshot.h"
#include "threads/threads.h"

#include <stdbool.h>

struct runtime;

/* The last steps of an end, together well within SIGNALS_END_MS. */
enum {
  INSTANCE_DRAIN_GRACE_MS = 700, /* after timeouts.shutdown workers have so long to say that they are drained … */
  INSTANCE_STOP_MS = 900,        /* … and all threads, when told to, to say that they have ended */
};

enum instance_phase {
  INSTANCE_STARTING,
  INSTANCE_READY,
  INSTANCE_DRAINING, /* told to stop: connections may finish */
  INSTANCE_STOPPING, /* the threads have been told to end */
};

struct instance {
  struct runtime *runtime;
  const struct log *log;    /* of the workers and the loader */
  struct native_call *call; /* who waits for the end; NULL: nobody yet */
  enum instance_phase phase;
  int status; /* the exit status */
  bool strict;
  double started; /* seconds since the epoch */
  clock_ms started_ms;
  struct config config;
  char *config_path, *routes_path; /* as the command line said; NULL: it did not */
  unsigned workers_wanted;         /* likewise; 0 */
  char *control_path;              /* NULL: none */
  struct loader *loader;
  struct loading loading; /* the thread that uses it */
  struct instance_lock lock;
  struct account account; /* whom we became */
  struct names names;
  struct loaded_routes loaded;
  struct route_table *table;
  uint16_t *resolved;            /* the real port of each of table->ports */
  struct admin *control, *admin; /* NULL: none. Given to the runtime at the end, because their tasks outlast us */
  struct threads threads;
  struct snapshots snapshots;
  struct folding folding;
  struct connections connections;
  struct diagnose diagnose;
  struct heartbeats heartbeats;
  struct route_order *order; /* NULL: not asked for yet, or of an earlier table */
  struct signals *signals;
  struct reload reload;
  struct list_node puts;             /* reload/files.c: files that are being checked */
  struct list_node changes;          /* reload/files_change.c: files that are being written or removed */
  struct blocking *change_lost;      /* … the thread that was lost in that last; NULL: none */
  struct list_node drain_waiters;    /* control/drain.c: who has asked for the end */
  clock_ms drain_began, drain_until; /* while draining */
  bool drain_told;                   /* they have been answered */
  struct wheel_timer patience;       /* for the workers, once they have been told to stop */
  bool threads_ended, loading_ended; /* once they have been told to */
  struct deferred finish;
  void (*on_released)(struct instance *instance); /* in a spec: all is given back, and the record is its owner's */
};

/* Starts, and answers `call` with the exit status once all has stopped; when starting fails, at once, after having said
 * why on standard error. One at a time. */
void instance_run(struct runtime *runtime, const struct native_settings *settings, struct native_call *call);

/* See native_ops. */
void instance_snapshot(struct instance *instance, struct native_call *call);
void instance_totals(struct instance *instance, struct native_call *call);

/* Says on standard error what is wrong; `subject` (NULL: nobody) is what it is about: `admin.listen`, `route "page"`.
 * Returns -1. */
int instance_complain(const char *subject, const struct error *error);
