/* SPDX-License-Identifier: MIT
 *
 * The index of a port's routes, private to this room: by domain, then by client address. Immutable once built; ports
 * with the same routes share one. How it is asked is in choice.c. */
#pragma once

#include "net/prefix_tree.h"
#include "routing/domain.h"
#include "routing/route.h"

/* What a domain is looked up by. What is found by a KEY_SUFFIX or KEY_PREFIX matches: "*.example.com" is all of its
 * suffix. Patterns that have more to them ("api-*.example.com") are found by the same parts, and then compared. */
enum key_kind { KEY_NAME, KEY_SUFFIX, KEY_PREFIX, KEY_PART_SUFFIX, KEY_PART_PREFIX, KEY_NONE, KEY_KINDS = KEY_NONE };

enum { RECORD_UNIT = 64, DOMAIN_RANK_NONE = UINT16_MAX };

/* A route as it stands in a list. Lists are in the order of tier, version and place. */
struct row {
  struct route *route;
  uint32_t tier;    /* priority, and bound to this very address: 0 is the best */
  uint32_t place;   /* among the port's routes */
  uint8_t version;  /* how specific tls_version is: 0 is the best */
  uint8_t versions; /* route->tls_versions */
  bool is_tls;
  bool is_many; /* it may stand in several lists that match */
};

struct row_list {
  struct row *rows;
  size_t count;
};

/* The routes of a domain, by client address. Domains with the same routes share it. */
struct rules {
  struct row_list any;     /* without client_ip */
  struct prefix_tree tree; /* values: lists */
  struct row_list *lists;
  struct row_list sets; /* whose client_ip is asked as a whole */
  struct row *rows;     /* all of them */
  uint32_t *places;     /* the routes that it was made from */
  size_t place_count;
};

/* A domain of which an entry can't tell all: it has rules, or has to be compared. */
struct record {
  const struct rules *rules; /* NULL: `only` */
  struct row only;
  uint32_t next;       /* the next one with the same key; 0: none */
  uint16_t rank;       /* how specific it is: 0 is the best */
  uint16_t length;     /* of the text */
  uint16_t key_length; /* its end (".example.com") or beginning ("example.") that is looked up */
  uint8_t kind;        /* enum key_kind */
  char text[];         /* without NUL */
};

/* What the entries of many domains have in common. */
struct trait {
  struct row row; /* without route and place */
  uint16_t rank;
};

/* A domain as it is looked up. It is recognised by the second half of the hash of its key, not by the key: so that a
 * hundred thousand of them fit into the cache, and a lookup waits for memory once. */
struct entry {
  uint64_t fingerprint;
  uint32_t number; /* of its one route among the port's; of a record when `trait` is ENTRY_RECORD */
  uint32_t trait;  /* ENTRY_FREE; ENTRY_RECORD; of index->traits */
};

enum { ENTRY_FREE, ENTRY_RECORD, ENTRY_FIRST_TRAIT };

/* A cache line of them, filled from the first on; what finds no place goes into the next bucket. */
enum { BUCKET_ENTRIES = 4 };

struct bucket {
  struct entry entries[BUCKET_ENTRIES];
};

struct route_index {
  uint64_t seed;
  struct route *const *routes; /* of the list that it was made from */
  struct bucket *buckets;
  uint64_t bucket_count;
  struct trait *traits;
  size_t trait_count;
  char *records;                      /* in units of RECORD_UNIT; the first is empty */
  uint64_t key_lengths[KEY_KINDS][4]; /* bits: is there a key of that length? Not of names */
  bool has_labels;                    /* is there any? */
  uint32_t *others;                   /* records of patterns that have no key */
  size_t other_count;
  const struct rules *domainless; /* NULL: none */
  struct rules **rules;
  size_t rules_count;
};

/* `routes` stand in the order of `tiers`, then file. They, their array, and what they point to, outlive the index. NULL
 * without memory. */
struct route_index *route_index_new(struct route *const *routes, const uint32_t *tiers, size_t count);
void route_index_free(struct route_index *index); /* NULL is nothing */

/* Of one list of routes, in the order of the port. NULL without memory. `expansions` counts down what routes may take
 * in trees. */
struct rules *rules_new(struct route *const *routes, const uint32_t *tiers, const uint32_t *places, size_t count,
                        size_t *expansions);
void rules_free(struct rules *rules);

struct row row_make(struct route *route, uint32_t tier, uint32_t place);

/* Where a route stands among all that match. Paths and headers have their place. */
struct rank {
  uint64_t high; /* tier 32, domain 16, path 16 */
  uint64_t low;  /* client 8, headers 8, version 8, unused 8, place 32 */
};

enum { CLIENT_RANK_NONE = UINT8_MAX, CLIENT_RANK_ALL = 8 * PREFIX_SIZE };

/* By the rank of the best of its domains that matches, and of the best member of its client_ip. */
static inline struct rank choice_rank(const struct row *row, unsigned domain, unsigned client) {
  return (struct rank){
      .high = (uint64_t)row->tier << 32 | (uint64_t)domain << 16,
      .low = (uint64_t)client << 56 | (uint64_t)row->version << 40 | row->place,
  };
}

static inline bool rank_is_before(struct rank a, struct rank b) {
  return a.high < b.high || (a.high == b.high && a.low < b.low);
}

static inline bool row_takes_tls(const struct row *row, bool tls_matters, bool is_tls) {
  return !tls_matters || row->is_tls == is_tls;
}

static inline bool row_takes_version(const struct row *row, unsigned versions) {
  return row->versions == 0 || (row->versions & versions) != 0;
}

static inline const struct record *record_at(const struct route_index *index, uint32_t number) {
  return (const struct record *)(const void *)(index->records + (size_t)number * RECORD_UNIT);
}

/* Where to look first for a hash. */
static inline uint64_t bucket_of(const struct route_index *index, uint64_t hash) {
  return (uint64_t)(((unsigned __int128)hash * index->bucket_count) >> 64);
}

static inline bool has_length(const uint64_t bits[4], size_t length) {
  return bits[length / 64 % 4] >> (length % 64) & 1;
}
