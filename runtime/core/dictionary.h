/* SPDX-License-Identifier: MIT
 *
 * A dictionary that all threads share: strings to small values, each with its time to live, under a bound of memory.
 * What is behind moongate.shared; it knows nothing of Lua. Locks are a shard's, held for one look-up. */
#pragma once

#include "core/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dictionary;

enum dictionary_kind { DICTIONARY_NIL, DICTIONARY_BOOLEAN, DICTIONARY_NUMBER, DICTIONARY_STRING };

struct dictionary_value {
  enum dictionary_kind kind;
  bool boolean;
  double number;
  char *bytes; /* of a string; may hold NULs */
  size_t size;
};

enum {
  DICTIONARY_KEY_MOST = 1024, /* bytes of a key */
  DICTIONARY_SHARDS = 16,
};

/* At most about `bytes` of keys, values and what they need besides, in equal shards: one value is at most a shard's.
 * NULL without memory. */
struct dictionary *dictionary_new(size_t bytes);
void dictionary_free(struct dictionary *dictionary); /* NULL is nothing; nobody else uses it any more */

enum dictionary_mode {
  DICTIONARY_SET,
  DICTIONARY_ADD, /* only where there is none yet */
};

/* Stores a copy. Of `ttl_ms` 0 it stays; NIL deletes. What has expired makes room, then what was used longest ago
 * (*evicted counts those that had not expired). 0, -EEXIST (ADD), -ENOMEM (larger than a shard, or no memory), -EINVAL
 * (a key of 0 bytes or over DICTIONARY_KEY_MOST). Any thread, like all that follow. */
int dictionary_set(struct dictionary *dictionary, const char *key, size_t key_size,
                   const struct dictionary_value *value, uint64_t ttl_ms, enum dictionary_mode mode, clock_ms now,
                   unsigned *evicted);

/* Fills `value`, NIL where there is none; a string's bytes are the caller's to free. 0 or -ENOMEM. */
int dictionary_get(struct dictionary *dictionary, const char *key, size_t key_size, clock_ms now,
                   struct dictionary_value *value);

/* Adds `by` to a number, as one step for all threads. Where there is none, begins with *init for `ttl_ms` (0: for
 * good); the time to live of one that is there stays as it is. 0, -ENOENT (none, and `init` NULL), -EDOM (no number),
 * -ENOMEM, -EINVAL. */
int dictionary_incr(struct dictionary *dictionary, const char *key, size_t key_size, double by, const double *init,
                    uint64_t ttl_ms, clock_ms now, double *result, unsigned *evicted);

struct dictionary_size {
  size_t entries, bytes, bytes_most;
  uint64_t evictions;
};

void dictionary_measure(struct dictionary *dictionary, struct dictionary_size *size);
