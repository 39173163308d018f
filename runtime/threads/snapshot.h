/* SPDX-License-Identifier: MIT
 *
 * What all workers, and the plane, have counted: each copies its shard between two of its events and sends the copy to
 * the control thread, where the copies are added up. A worker that does not answer in time is represented by its last
 * copy. */
#pragma once

#include "core/loop.h"
#include "metrics/shard.h"
#include "native/native.h"
#include "threads/names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker;

enum { SNAPSHOT_PATIENCE_MS = 2000, SNAPSHOT_MAX_WAITING = 512 };

/* A copy of a shard. */
struct shard_copy {
  struct worker_stats worker;
  struct route_stats removed;
  struct route_stats *routes; /* those that there are, in no order: see shard_copy_find() */
  size_t route_count, capacity;
  uint32_t *slots; /* by the number of the route's name; what stands there may be of an earlier copy */
  size_t slot_count;
  struct client_row *clients; /* in no order */
  size_t client_count, client_capacity;
  struct client_count other_clients;
};

/* 0, or -ENOMEM and `copy` as it was. On the worker's thread. */
int shard_copy_take(struct shard_copy *copy, const struct metrics_shard *shard);

/* What was counted under the number; NULL: nothing. */
const struct route_stats *shard_copy_find(const struct shard_copy *copy, unsigned number);

/* The worker has folded these numbers since (metrics_shard_fold()), and so does its copy. */
void shard_copy_fold(struct shard_copy *copy, const unsigned *numbers, size_t count);

void shard_copy_deinit(struct shard_copy *copy);

struct snapshots;

/* An answer made from the last copies; NULL without memory. Called once for each waiter. */
typedef struct value *snapshot_answer_fn(const struct snapshots *snapshots, void *context);

/* What is asked of one worker, and what it answered last. */
struct snapshot_part {
  struct message message;
  struct snapshots *owner;
  struct worker *worker;
  struct shard_copy filling; /* the worker's while `asked` */
  struct shard_copy last;
  bool filled;    /* with the message on its way back: `filling` is whole */
  bool asked;     /* the message is the worker's */
  bool awaited;   /* … and this round waits for it; not for a worker that is stuck */
  uint64_t round; /* in which it was asked, or answered */
  bool complete;  /* answered in this round */
};

/* Who waits, and what it is answered with. */
struct snapshot_waiter {
  struct native_call *call;
  snapshot_answer_fn *answer;
  void *context;
};

struct snapshots {
  struct loop *loop;
  const struct names *names;
  struct metrics_shard *plane; /* the control thread's, whose answers need no asking; NULL: there is no plane */
  struct snapshot_part *parts; /* one a worker */
  size_t count;
  uint64_t round;
  size_t missing;                     /* answers of this round */
  struct snapshot_waiter *now, *next; /* who waits for this round, and for one that begins later */
  size_t now_count, next_count;
  struct wheel_timer timer; /* set while a round is under way */
  bool closed;
};

/* Room for `count` workers, which snapshots_set_worker() names. 0 or -ENOMEM. */
int snapshots_init(struct snapshots *snapshots, struct loop *loop, const struct names *names, size_t count);
void snapshots_set_worker(struct snapshots *snapshots, size_t index, struct worker *worker);

/* The worker has folded these numbers, after all copies that have come of it: so does the last one. */
void snapshots_fold(struct snapshots *snapshots, size_t worker, const unsigned *numbers, size_t count);

/* The plane folds them, for which there are no records left. */
void snapshots_fold_plane(struct snapshots *snapshots, const unsigned *numbers, size_t count);

/* Answers who waits with what there is. After the workers' threads have ended and the loop's messages are delivered;
 * before, only when no worker runs yet. Nothing when it is zeroed. */
void snapshots_deinit(struct snapshots *snapshots);

/* Answers `call` with a snapshot that was begun after this. */
void snapshots_ask(struct snapshots *snapshots, struct native_call *call);

/* The same, with another answer. */
void snapshots_ask_for(struct snapshots *snapshots, struct native_call *call, snapshot_answer_fn *answer,
                       void *context);

/* Whether every worker has answered in this round; while answers are made. */
bool snapshots_are_complete(const struct snapshots *snapshots);

/* The sum over the last copies and the plane's shard for the route with this number. */
struct route_stats snapshots_sum_route(const struct snapshots *snapshots, unsigned number);

/* The sums over the last copies, in the shape of native.snapshot(). NULL without memory. */
struct value *snapshots_sum(const struct snapshots *snapshots);

/* The same without the routes: a snapshot_answer_fn, to which `context` is nothing. */
struct value *snapshots_totals(const struct snapshots *snapshots, void *context);

/* The same, into a table. */
void snapshots_write_totals(struct value *table, const struct snapshots *snapshots);

/* What is counted by client address over the last copies: each address once, in their order; malloc'ed, NULL without
 * memory. What is counted by none, with all that the plane has, which knows nothing of clients. And the sum over all
 * routes, which is that of the two. (snapshot_clients.c) */
struct client_row *snapshots_sum_clients(const struct snapshots *snapshots, size_t *count);
struct client_count snapshots_sum_other_clients(const struct snapshots *snapshots);
struct client_count snapshots_sum_all_routes(const struct snapshots *snapshots);
