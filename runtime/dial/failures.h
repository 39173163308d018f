/* SPDX-License-Identifier: MIT
 *
 * What of targets has failed lately, and so is tried last for a while: addresses, names and unix sockets, each with its
 * port. One table, shared by all workers. A failure begins a pause of 5 seconds, and one that follows doubles it, to 60
 * at most; any success forgets. When a pause is over, one attempt has the first try again and the others wait for what
 * comes of it, so that a target that is still dead costs one client its patience and not all of them. Memory is
 * bounded: the entry that was noted longest ago goes first. */
#pragma once

#include "core/clock.h"
#include "net/address.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What everybody looks at each time; the rest is behind it (failures.c). */
struct failures {
  atomic_size_t count;
};

enum {
  FAILURES_MOST_DEFAULT = 4096,
  FAILURES_PAUSE_MS = 5000,
  FAILURES_LONGEST_PAUSE_MS = 60000,
  FAILURES_FORGOTTEN_MS = 10 * 60 * 1000, /* after the end of a pause: what has not been tried since is not known */
  FAILURES_SHARDS = 16,
};

/* Who it is. Two that agree in both halves are the same (text_hash_wide()). */
struct failure_key {
  uint64_t hash, second;
};

/* For `most` entries at most. NULL without memory. All functions but these two: any thread. */
struct failures *failures_new(size_t most);
void failures_free(struct failures *failures); /* NULL is nothing */

/* How many there are: most of the time none, and then nothing has to be looked up. NULL: none. */
static inline size_t failures_count(const struct failures *failures) {
  return failures ? atomic_load_explicit(&failures->count, memory_order_relaxed) : 0;
}

struct failure_key failures_key_of_address(const struct failures *failures, const struct ip_address *address,
                                           uint16_t port);
struct failure_key failures_key_of_endpoint(const struct failures *failures, const struct endpoint *endpoint);

/* Of a name, or "unix:/path", whose port doesn't matter. */
struct failure_key failures_key_of_host(const struct failures *failures, const char *host, uint16_t port);

/* Does a dial that fails with that negative errno tell something of the target? What this machine is short of (memory,
 * descriptors, local ports) does not. */
bool failures_is_evidence(int status);

/* What a dial has failed with, in words. */
const char *failures_describe(int status);

/* It has failed, with that negative errno; `name` is for people, and copied. Without memory it is not noted. */
void failures_note(struct failures *failures, const struct failure_key *key, const char *name, int status,
                   clock_ms now);

/* It has been reached. */
void failures_forget(struct failures *failures, const struct failure_key *key);

/* Is it to be tried last? Changes nothing. */
bool failures_is_paused(struct failures *failures, const struct failure_key *key, clock_ms now);

/* It is going to be tried: should its pause be over, then by this one alone until that is decided, for a pause's length
 * at most. */
void failures_claim(struct failures *failures, const struct failure_key *key, clock_ms now);

/* What is known of one, for people. */
struct failure_report {
  const char *name;
  int status;         /* of the last failure */
  unsigned failures;  /* since it was reached last, as far as it is remembered */
  uint64_t ago_ms;    /* the last one */
  uint64_t paused_ms; /* for how long it will still be tried last; 0: its pause is over */
};

typedef void failures_report_fn(void *context, const struct failure_report *report);

/* Calls back for every one, with its shard's lock held: the callback is short, and calls nothing here. */
void failures_each(struct failures *failures, clock_ms now, failures_report_fn *report, void *context);

/* Likewise for one, if it is known; false: it is not. */
bool failures_find(struct failures *failures, const struct failure_key *key, clock_ms now, failures_report_fn *report,
                   void *context);
