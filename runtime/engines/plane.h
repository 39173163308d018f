/* SPDX-License-Identifier: MIT
 *
 * A plane forwards the routes of another engine than userspace, which is the corridor itself: in the kernel, with no
 * byte passing through a worker. It takes part in each change of the table that has to do with its routes, beside the
 * workers (threads/swap.h), in this order:
 *
 *   prepare   everybody: what can fail fails here, and nothing has changed
 *   commit    the plane's new routes forward; this can still fail, then all abort
 *             … the workers take the table up, and close the ports that are no longer theirs …
 *   retire    the plane's old routes end
 *
 * So a port that moves between userspace and a plane has a taker throughout, and for a moment two.
 *
 * All of it is the control thread's: operations are called there, and answered there. None may hold it: whoever has
 * more to do than a millisecond of its own, or waits for the kernel, does that elsewhere (a thread and core/mailbox.h,
 * a socket in the loop) and answers later. One operation is under way at a time; sampling goes beside it. */
#pragma once

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "metrics/shard.h"
#include "routing/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plane;

enum {
  PLANE_PATIENCE_MS = 10 * 1000, /* preparing that takes longer is given up */
  PLANE_STOP_MS = 500,           /* … and stopping, so long after its time */
  PLANE_SAMPLE_MS = 1000,
  PLANE_FAULTS_MAX = 1024, /* more are not told: they are when these are mended */
};

struct plane_ops {
  enum route_engine engine;

  /* Can `table` be had in the place of `before` (NULL: nothing)? Both stay valid until the next prepare. Looks at all
   * routes of its engine, and says of each that can't be had why (plane_refuse()); prepares the change as far as
   * nothing is changed by it. Asynchronous: plane_answer(). Without an answer in PLANE_PATIENCE_MS it is aborted. */
  void (*prepare)(struct plane *plane, const struct route_table *before, const struct route_table *table);

  /* Makes the new and changed routes of what is prepared live, all or none; those that go still stand. Asynchronous:
   * plane_answer(), with an error (and plane_refuse(), where it is known which routes it is about) when nothing has
   * changed: then abort follows. It is waited for however long it takes, for nobody else knows what stands; the log,
   * the status and who waits are told, as of a worker that hangs. */
  void (*commit)(struct plane *plane);

  /* Ends what the table that was committed does not have any more, having added to plane->shard what that has counted:
   * the workers have taken the table up. Asynchronous: plane_answer(). Nobody waits but the next prepare, by which time
   * it has to be done: it can't fail, and what goes wrong is a fault of what is live (plane_tell_fault()). */
  void (*retire)(struct plane *plane);

  /* Forgets what was prepared, in the midst of preparing too (that is not answered then), or what failed to commit.
   * Bounded: at once, no answer. */
  void (*abort)(struct plane *plane);

  /* Adds what has been counted since to plane->shard, under route->stats: all that belongs together in one event, so
   * that every answer agrees with itself. Called each PLANE_SAMPLE_MS while there are routes of its engine;
   * asynchronous without an answer: one that is still at the last sample does nothing. */
  void (*sample)(struct plane *plane);

  /* Nothing new; flows may finish for `ms`, then all ends; what was prepared is forgotten. May be called once more, to
   * hurry. Asynchronous and bounded: plane_answer(), once, within `ms` and PLANE_STOP_MS, else it is left as it is. No
   * other operation follows. */
  void (*stop)(struct plane *plane, uint64_t ms);
};

/* What is wrong with a route of the plane's, or, without one, with the plane. */
struct plane_fault {
  struct route *route; /* one reference, or NULL */
  char *field;         /* "match.ports"; "": none in particular */
  char *message;
};

struct plane_faults {
  struct plane_fault *faults;
  size_t count, room;
};

enum plane_phase {
  PLANE_IDLE,
  PLANE_PREPARING,
  PLANE_PREPARED,
  PLANE_COMMITTING,
  PLANE_COMMITTED,
  PLANE_RETIRING,
  PLANE_STOPPING,
  PLANE_STOPPED,
};

/* 0, or a negative errno and plane->error. Called in a later event. */
typedef void plane_done_fn(struct plane *plane, int status, void *context);

/* Embedded in the engine's own record, whose it is to free, after plane_deinit(). */
struct plane {
  const struct plane_ops *ops;
  struct loop *loop;
  const struct log *log;
  struct metrics_shard *shard; /* what it has counted */
  enum plane_phase phase;
  struct route_table *live;     /* whose routes it forwards; NULL: none yet */
  struct route_table *coming;   /* prepared, or about to be */
  struct route_table *replaced; /* … whose rest is to be retired */
  struct plane_faults refusals; /* of the last prepare or commit */
  struct plane_faults faults;   /* of what is live */
  struct error error;           /* of the last answer */
  int status;
  bool is_waiting; /* a prepare, for the end of retiring */
  bool is_probing; /* what is prepared is given up when it is known whether it can be had */
  plane_done_fn *on_done;
  void *context;
  plane_done_fn *on_stopped; /* for plane_stop(), with `owner`; set by who ends it, may be NULL */
  void *owner;
  struct deferred answered;
  struct wheel_timer patience, sampler;
};

/* 0 or -ENOMEM. All outlive it. */
int plane_init(struct plane *plane, const struct plane_ops *ops, struct loop *loop, const struct log *log);

/* Once it is stopped, or when no table has ever been committed. Nothing when zeroed. */
void plane_deinit(struct plane *plane);

/* For the engine. The operation that is under way is done; `error` with a negative status, else it does not matter.
 * Within the operation or in a later event. */
void plane_answer(struct plane *plane, int status, const struct error *error);

/* For the engine, before it answers a prepare or a commit: the route can't be had, which becomes a fault of its file.
 * Strings are copied; `field` may be NULL. */
void plane_refuse(struct plane *plane, const struct route *route, const char *field, const char *message);

/* For the engine, at any time: something is wrong with what is live, and is told as faults of files are, and in the
 * log, until plane_clear_faults(), or until the route has gone. `route` NULL: with the plane. */
void plane_tell_fault(struct plane *plane, const struct route *route, const char *field, const char *message);
void plane_clear_faults(struct plane *plane);

/* The rest is for who changes the table. Is there anything for the plane (NULL: there is none) to do in the change? */
bool plane_is_concerned(const struct plane *plane, const struct route_table *table);

/* In this order, each after on_done of the one before has said 0; else plane_abort(). on_done says -ESHUTDOWN when it
 * is stopped meanwhile. */
void plane_prepare(struct plane *plane, struct route_table *table, plane_done_fn *on_done, void *context);
void plane_commit(struct plane *plane, plane_done_fn *on_done, void *context);
void plane_retire(struct plane *plane);

/* Could `table` be had? It is prepared and given up: on_done says 0, or an error with plane->refusals, or -EAGAIN when
 * a prepare has come in between. False, and nothing is called: something is under way. plane_abort() ends it early. */
bool plane_probe(struct plane *plane, struct route_table *table, plane_done_fn *on_done, void *context);

/* While preparing, prepared or when committing has failed. What is under way is not answered. Nothing when idle. */
void plane_abort(struct plane *plane);

/* plane->on_stopped is called once, when all has ended or is given up. To hurry: once more, with another `ms`. */
void plane_stop(struct plane *plane, uint64_t ms);

/* The operation that it has not answered, for people: "prepare"; NULL: none. */
const char *plane_awaited(const struct plane *plane);
