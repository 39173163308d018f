/* SPDX-License-Identifier: MIT
 *
 * A name that a worker asks for: one question for each family, of one candidate after the other where the machine has a
 * list of domains. Some run, the others queue; those for which nobody waits come last. Also the names that are to be
 * asked for again before their time is over. Private to names/resolve*. */
#pragma once

#include "core/hash_table.h"
#include "core/log.h"
#include "names/host_table.h"
#include "names/resolve_channel.h"
#include "names/resolve_name.h"

struct resolve_lookup;

struct resolver {
  struct loop *loop;
  void (*answer)(struct resolve_lookup *lookup); /* calls those who wait, if there is anything to tell them */
  const struct log *log;                         /* NULL: none */
  struct log_limit log_limit;
  struct host_table *table;
  uint64_t serial; /* of the files that the channels have */
  unsigned asks;   /* the families that there are */
  uint32_t delay_ms;
  uint64_t seed;
  struct resolve_channels channels;
  struct hash_table lookups;
  struct list_node queues[2]; /* somebody waits; nobody does */
  struct list_node running_lookups;
  struct list_node over; /* whose requests are to be called */
  unsigned running, running_ahead;
  struct list_node dues;
  size_t due_count;
  struct deferred delivery;
  bool delivering;
};

enum lookup_phase { LOOKUP_QUEUED, LOOKUP_RUNNING, LOOKUP_OVER };

struct resolve_question {
  struct resolve_lookup *lookup;
  struct resolve_channel *channel;
  bool is_open;
  struct host_answer *absent; /* "there is none", noted when no other candidate has one either; NULL: not so */
};

struct resolve_lookup {
  struct hash_node node;
  struct list_node place;    /* in one of the resolver's lists, by its phase */
  struct list_node requests; /* resolve.c's */
  struct resolver *resolver;
  enum lookup_phase phase;
  struct wheel_timer timer; /* who waits has waited long enough, if there is anything */
  bool ahead;               /* nobody waits for it */
  bool overdue;             /* that timer has expired */
  bool is_found;
  int status;    /* of what has failed; 0: nothing */
  unsigned asks; /* families */
  unsigned candidate;
  struct resolve_question questions[HOST_FAMILIES];
  size_t size;
  char name[];
};

/* 0, or -EIO: the kernel gives no random numbers. */
int resolve_lookups_init(struct resolver *resolver);
void resolve_lookups_deinit(struct resolver *resolver, void (*drop_requests)(struct list_node *requests));

struct resolve_lookup *resolve_lookup_find(const struct resolver *resolver, const char *name, size_t size);

/* Asks for these families, where they are not being asked for already. NULL without memory. `ahead`: nobody waits. */
struct resolve_lookup *resolve_lookup_start(struct resolver *resolver, const char *name, size_t size, unsigned asks,
                                            bool ahead);

/* Somebody waits for it now: for `ms` at most where something is known already, 0: nothing is. */
void resolve_lookup_hurry(struct resolve_lookup *lookup, uint64_t ms);
