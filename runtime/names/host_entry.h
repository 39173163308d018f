/* SPDX-License-Identifier: MIT
 *
 * One name of the table (names/host_table.h): the addresses of both families, how long each is good, and when it is to
 * be asked for again. Whoever calls has the lock of its shard. */
#pragma once

#include "core/hash_table.h"
#include "core/list.h"
#include "names/host_answer.h"

/* One family of a name. */
struct host_side {
  union host_address *addresses;
  unsigned count;
  int status;            /* of the last answer; 0 before the first */
  unsigned failures;     /* in a row */
  clock_ms expires;      /* of the addresses: the end of their TTL */
  clock_ms next_ask;     /* not before; 0: it has never been answered */
  clock_ms claimed;      /* somebody asks, and may take until then; 0: nobody */
  clock_ms absent_since; /* there are addresses, and the servers have said that there are none; 0 */
};

struct host_entry {
  struct hash_node node;
  struct list_node order; /* of coming, for making room */
  struct list_node stale; /* in its shard's list while `is_stale` */
  bool used;              /* since it was last looked at for making room */
  bool used_since;        /* since it was last asked for */
  bool is_stale;
  bool is_lost;         /* it was, until its addresses had become too old; to be told with the next answer */
  uint64_t serial;      /* of the hosts file that does not have it */
  clock_ms quiet_until; /* nothing is to be looked at before: the addresses serve. 0: look */
  struct host_side sides[HOST_FAMILIES];
  unsigned count;
  struct endpoint *addresses; /* of both, in the order to try */
  size_t size;
  char name[];
};

/* A new one of which nothing is known; NULL without memory. */
struct host_entry *host_entry_new(const char *name, size_t size);
void host_entry_free(struct host_entry *entry);

/* What it is good for now; drops what is too old. `ask`: NULL, or see host_table_find(). */
enum host_state host_entry_look(struct host_entry *entry, const struct host_table_options *options, clock_ms now,
                                unsigned *ask);

/* Why it has no addresses: a negative errno. */
int host_entry_status(const struct host_entry *entry, const struct host_table_options *options);

/* The families that are due, and nobody asks for: they are claimed. */
unsigned host_entry_claim(struct host_entry *entry, const struct host_table_options *options, clock_ms now);

/* All of them, whoever else asks. */
unsigned host_entry_claim_all(struct host_entry *entry, const struct host_table_options *options, clock_ms now);

bool host_entry_is_claimed(const struct host_entry *entry, clock_ms now);

/* What has failed may be asked for again at once. */
void host_entry_forgive(struct host_entry *entry, clock_ms now);

/* When a family will be due that nobody asks for; 0: there are no addresses. */
clock_ms host_entry_next(const struct host_entry *entry, const struct host_table_options *options);

/* 0, or -ENOMEM when the answer is lost. */
int host_entry_note(struct host_entry *entry, const struct host_table_options *options,
                    const struct host_answer *answer, clock_ms now);

/* Is an address among them whose TTL is over, while asking fails? Since when, and for how long still. */
bool host_entry_is_failing(const struct host_entry *entry, const struct host_table_options *options, clock_ms now,
                           struct host_report *report);
