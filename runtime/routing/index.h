/* SPDX-License-Identifier: MIT
 *
 * The index of a port's routes, private to this room: by domain, then by client address. Immutable once built; ports
 * with the same routes share one. How it is asked is in choice.c. */
#pragma once

#include "net/prefix_tree.h"
#include "routing/domain.h"
#include "routing/route.h"

enum record_kind { RECORD_NAME, RECORD_SUFFIX, RECORD_PREFIX, RECORD_OTHER };

enum { RECORD_UNIT = 64, DOMAIN_RANK_NONE = UINT16_MAX };

/* A route as it stands in a list. Lists are in the order of tier, version and place. */
struct row {
  union {
    struct route *route;
    const struct rules *rules; /* in a record */
  };
  uint32_t tier;    /* priority, and bound to this very address: 0 is the best */
  uint32_t place;   /* among the port's routes */
  uint8_t version;  /* how specific tls_version is: 0 is the best */
  uint8_t versions; /* route->tls_versions */
  bool is_tls;
  bool is_many;  /* it may stand in several lists that match */
  uint32_t next; /* in a record: the next one with the same key; 0: none */
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

/* A domain. One cache line, mostly: what a lookup needs of it is in one place. */
struct record {
  struct row only;     /* its one route, unless it has rules */
  uint16_t rank;       /* how specific it is: 0 is the best */
  uint16_t length;     /* of the text */
  uint16_t key_length; /* its end (SUFFIX: ".example.com") or beginning (PREFIX: "example.") that is looked up */
  uint8_t kind : 4;
  bool is_matched : 1; /* when the key is found all has been compared: "*.example.com" */
  bool has_rules : 1;
  char text[]; /* without NUL */
};

struct slot {
  uint32_t tag;    /* the upper half of the hash */
  uint32_t record; /* 0: free */
};

struct route_index {
  uint64_t seed;
  struct slot *slots;
  uint64_t slot_mask;
  char *records;                                 /* in units of RECORD_UNIT; the first is empty */
  uint64_t suffix_lengths[4], prefix_lengths[4]; /* bits: is there a key of that length? */
  bool has_labels;                               /* is there any? */
  uint32_t *others;                              /* records of patterns that have no key */
  size_t other_count;
  const struct rules *domainless; /* NULL: none */
  struct rules **rules;
  size_t rules_count;
};

/* `routes` stand in the order of `tiers`, then file. They, and what they point to, outlive the index. NULL without
 * memory. */
struct route_index *route_index_new(struct route *const *routes, const uint32_t *tiers, size_t count);
void route_index_free(struct route_index *index); /* NULL is nothing */

/* Of one list of routes, in the order of the port. NULL without memory. `expansions` counts down what routes may take
 * in trees. */
struct rules *rules_new(struct route *const *routes, const uint32_t *tiers, const uint32_t *places, size_t count,
                        size_t *expansions);
void rules_free(struct rules *rules);

struct row row_make(struct route *route, uint32_t tier, uint32_t place);

static inline const struct record *record_at(const struct route_index *index, uint32_t number) {
  return (const struct record *)(const void *)(index->records + (size_t)number * RECORD_UNIT);
}

static inline const char *record_key(const struct record *record) {
  return record->kind == RECORD_SUFFIX ? record->text + record->length - record->key_length : record->text;
}

static inline bool has_length(const uint64_t bits[4], size_t length) {
  return bits[length / 64 % 4] >> (length % 64) & 1;
}
