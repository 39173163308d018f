/* SPDX-License-Identifier: MIT
 *
 * What `moongate run` runs, as a record: config, routes, threads, signals, admin listeners; and reading the config,
 * making the table and opening the ports of one. Its parts of higher rooms are pointers here; control/life.h has all in
 * one, and begins and ends it. */
#pragma once

#include "admin/admin.h"
#include "connection/port_change.h"
#include "engines/plane.h"
#include "loading/load.h"
#include "native/native.h"
#include "process/instance_lock.h"
#include "process/signals.h"
#include "routing/table.h"
#include "threads/ask.h"
#include "threads/folding.h"
#include "threads/loading.h"
#include "threads/names.h"
#include "threads/snapshot.h"
#include "threads/threads.h"

#include <stdbool.h>

struct diagnose;
struct dns_watch;
struct heartbeats;
struct part;
struct reload;
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

/* Replaced versions of files that still run something, the oldest first; one reference each. Kept by reload/. */
struct old_versions {
  struct script_version **versions;
  size_t count;
};

struct instance {
  struct runtime *runtime;
  const struct log *log;    /* of the workers and the loader */
  struct native_call *call; /* who waits for the end; NULL: nobody yet */
  enum instance_phase phase;
  int status;                          /* the exit status */
  bool strict;                         /* no fault in the routes is lived with at the start */
  bool reload_wanted, snapshot_wanted; /* by a signal, once it is ready */
  double started;                      /* seconds since the epoch */
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
  struct host_table *hosts;      /* what the workers know of targets' names */
  struct dns_watch *dns_watch;
  struct threads threads;
  struct plane *plane; /* the runtime's, beside them; NULL: there is none, as in specs */
  struct snapshots snapshots;
  struct folding folding;
  struct asks asks;
  struct diagnose *diagnose;
  struct heartbeats *heartbeats;
  struct part *parts; /* instance/parts.h: those that traffic can do without */
  unsigned refusals;  /* of files at the start, because what their routes ask for can't be had */
  struct signals *signals;
  struct reload *reload;
  struct old_versions old;
  struct list_node puts;             /* reload/files.c: files that are being checked */
  struct list_node changes;          /* reload/files_change.c: files that are being written or removed */
  struct blocking *change_lost;      /* … the thread that was lost in that last; NULL: none */
  struct list_node drain_waiters;    /* control/drain.c: who has asked for the end */
  clock_ms drain_began, drain_until; /* while draining */
  bool drain_is_answered;            /* they have been answered */
  struct wheel_timer patience;       /* for the workers, once they have been told to stop */
  bool threads_ended, loading_ended; /* once they have been told to */
  struct deferred finish;
  void (*stop)(struct instance *instance);        /* instance_stop() of control/life.h */
  void (*on_released)(struct instance *instance); /* in a spec: all is given back, and the record is its owner's */
};

/* Says on standard error what is wrong; `subject` (NULL: nobody) is what it is about: `admin.listen`, `route "page"`.
 * Returns -1. */
int instance_complain(const char *subject, const struct error *error);

/* instance_config.c: all routes of the files that are served, and a reference on each version for the table, made as
 * route_table_renew() says. NULL: see `error`. */
struct route_table *instance_make_table(const struct route_table *before, struct pace *pace,
                                        const struct loaded_routes *loaded, struct policy *policy, struct error *error);

/* instance_config.c: names_number() as the loader calls it. */
void instance_number_of(void *context, const char *name, unsigned *number, struct route_shared **shared);

/* instance_config.c: a line for each. */
void instance_log_faults(const struct log *log, enum log_level level, const char *message,
                         const struct fault_list *faults);

/* instance_config.c: a fault of a route file, and what becomes of the file. */
void instance_log_route_fault(const struct log *log, const struct loaded_routes *loaded, const struct fault *fault);

/* instance_config.c: the config, the log's settings, the lock, the control socket; from then on we are the user that
 * the config names. 0 or -1, having said why. */
int instance_load_config(struct instance *instance, const struct native_settings *settings);

/* instance_config.c: the table of the routes that were loaded with that status. 0 or -1, having said why. */
int instance_take_routes(struct instance *instance, int status);

/* instance_config.c: lets go of it, for the routes are loaded once more. */
void instance_drop_routes(struct instance *instance);

/* instance_config.c: says what is wrong with the files of the table that is going to be served. 0, or -1 when there is
 * none of them, having said why. */
int instance_tell_faults(const struct instance *instance);

/* instance_ports.c: the port of the table that would be in the way of `admin_listen`, or NULL. */
const struct table_port *instance_find_admin_clash(const struct route_table *table, const char *admin_listen);

/* instance_ports.c: what to say of it. */
void instance_explain_admin_clash(const struct table_port *clash, struct error *error);

/* instance_ports.c: notes the new port that would be in the way of our own admin interface. 0 or -ENOMEM. */
int instance_note_admin_clash(const struct instance *instance, struct port_change *ports);

/* instance_ports.c: the control socket, and whom it belongs to; none where its directory can't be written. 0, or -1,
 * having said why. */
int instance_open_control(struct instance *instance);

/* instance_ports.c: the admin listener, or else it is tried again. 0, or -1 when that is not to be lived with
 * (--strict), having said why. */
int instance_open_admin(struct instance *instance);

/* instance_ports.c: looks whether somebody else has the table's ports. Before our own are open, or each would be found
 * in the way of itself. NULL without memory. */
struct port_change *instance_probe_ports(const struct instance *instance);

/* instance_ports.c: that a port of the table can't be opened keeps moongate from starting. */
void instance_complain_of_port(const struct port_failure *failure, const struct route_table *table);

/* Is it one that passes by itself: what a route asks for is another's, or not there yet? */
bool instance_error_passes(const struct error *error);

/* instance_ports.c: a log line for each route, and the one that says that all is ready. */
void instance_announce(const struct instance *instance);

/* What stands in `next` and can't change without a restart, as a list of strings; of that, `next` gets from `current`
 * what a load goes by: the directories. NULL without memory. */
struct value *reconfigure_prepare(const struct config *current, struct config *next);

/* Makes `next` the instance's config, and leaves it the old one. */
void reconfigure(struct instance *instance, struct config *next);
