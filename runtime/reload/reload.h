/* SPDX-License-Identifier: MIT
 *
 * Taking up changes of the route files while running: told by the watcher, a signal or the API, loaded on the loader
 * thread, made live on all workers or none. One round at a time; what comes meanwhile makes one more round. */
#pragma once

#include "loading/load.h"
#include "native/native.h"
#include "reload/watcher.h"
#include "threads/swap.h"

#include <stdbool.h>
#include <stddef.h>

struct instance;

enum {
  RELOAD_WAITING_MAX = 64, /* callers that wait for a round; more are refused */
  RELOAD_NAME_SIZE = 136,
  RELOAD_VANISHED_MS = 2000, /* what has vanished is taken for gone then, unless somebody asks before */
};

enum reload_phase { RELOAD_IDLE, RELOAD_LOADING, RELOAD_SWAPPING, RELOAD_STORING, RELOAD_PHASE_COUNT };

/* A file that waits for what it asks for: a port that another process has, an address that is not there yet. */
struct reload_awaited {
  char *file;
  struct endpoint endpoint;
};

/* What the last rounds came to, for status and metrics. */
struct reload_totals {
  uint64_t rounds; /* that have begun: what is in the directory was looked at */
  uint64_t swaps;
  double seconds; /* of all swaps, from the beginning of their round */
  double last_seconds;
};

/* Who waits for a round. */
struct reload_waiter {
  struct native_call *call;
  int file_status; /* of the answer when the file is live; 0: it asked for a reload, not for a file */
  char file[RELOAD_NAME_SIZE];
};

/* The config as it was read last: what of it is not live. Stays when the round is over. */
struct config_standing {
  struct fault_list faults; /* then it is as it was before */
  char **waiting;           /* settings that need a restart, as they are told to people */
  size_t waiting_count;
};

struct reload {
  struct instance *instance;
  struct swap swap;
  struct watcher *watcher;
  enum reload_phase phase;
  clock_ms phase_began;
  struct wheel_timer patience; /* while a phase lasts: says so when it lasts long */
  bool again;                  /* something came while a round was under way */
  bool with_config;            /* of this round */
  bool again_with_config;
  bool at_once, again_at_once; /* somebody has asked for it: what has vanished is gone */
  uint64_t began_ns;
  struct reload_waiter now[RELOAD_WAITING_MAX], next[RELOAD_WAITING_MAX];
  size_t now_count, next_count;
  struct config config; /* read in this round, when with_config */
  bool has_config;
  bool config_changed; /* it is another text than that of before */
  struct fault_list config_faults;
  int status;                  /* of the loader */
  struct loaded_routes loaded; /* by this round */
  struct route_table *table;   /* made of it */
  struct error table_error;    /* why it can't go live */
  bool is_same;                /* as what is live */
  uint16_t *resolved;
  struct port_change *ports;    /* between the live table and this one */
  struct route_table *replaced; /* the table before, for the loader thread to let go of */
  size_t refusals;              /* of files, because a port of theirs can't be opened */
  struct reload_awaited *awaited;
  size_t awaited_count;
  uint64_t await_ms; /* before the next look, when nothing else comes */
  struct wheel_timer await;
  bool is_keeping;               /* keep_state.c: the state is being tried again … */
  struct blocking *keeping_lost; /* … the thread that was lost in that last; NULL: none */
  struct wheel_timer vanished;   /* files that have vanished are gone then, if they have not come back */
  struct value *notes;           /* strings: settings that need a restart */
  struct config_standing standing;
  struct reload_totals totals;
};

/* 0 or a negative errno and `error`. The threads run already. */
int reload_start(struct instance *instance, struct error *error);

/* Ends what is under way without a swap, and answers who waits. Before the threads are told to end. Nothing the second
 * time. */
void reload_stop(struct reload *reload);

/* After the threads have ended. Nothing when zeroed. */
void reload_deinit(struct reload *reload);

/* Begins a round, or has one more follow. `call` (NULL: nobody waits) is answered when it is over. With the config,
 * what can change without a restart does. */
void instance_reload(struct instance *instance, bool with_config, struct native_call *call);

/* The same, for a file that was put or deleted: `call` is answered with `status` when the file is as it should be. */
void instance_reload_file(struct instance *instance, const char *file, int status, struct native_call *call);

/* The file of a route that can't go live is at fault from now on, as loader_exclude_file() says; with `awaited` until
 * that can be bound. While no round is under way, or in its own steps. 0 or -ENOMEM. */
int reload_exclude_file(struct reload *reload, struct loader *loader, const struct route *route, const char *field,
                        const char *message, const struct endpoint *awaited);

/* For people: "idle", "loading", … */
const char *reload_phase_name(enum reload_phase phase);

/* How long the phase has lasted; 0 while idle. */
uint64_t reload_phase_ms(const struct reload *reload);

/* Lets go of old versions that run nothing any more. */
void reload_forget_finished(struct reload *reload);

/* What a caller is told that no round is made for. */
struct value *reload_refusal(const struct reload_waiter *waiter, const char *why);
