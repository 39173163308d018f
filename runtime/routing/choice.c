/* SPDX-License-Identifier: MIT
 *
 * Asking the index: all lists of routes that match are looked at for the best that ranks behind the one before. So the
 * walk has no state but a rank, and may stop for as long as a `when` takes. */
#include "routing/choice.h"

#include "core/text.h"
#include "routing/index.h"

#include <string.h>

/* Where a route stands among all that match. Paths and headers have their place. */
struct rank {
  uint64_t high; /* tier 32, domain 16, path 16 */
  uint64_t low;  /* client 8, headers 8, version 8, unused 8, place 32 */
};

enum { CLIENT_RANK_NONE = UINT8_MAX, CLIENT_RANK_ALL = 8 * PREFIX_SIZE };

struct search {
  const struct route_index *index;
  const struct route_question *question;
  bool tls_matters;
  size_t length;
  struct prefix client;
  struct rank after, best_rank;
  const struct row *best;
  const struct row *wanted; /* not NULL: is it there before best_rank? */
  bool is_found;
  char name[DOMAIN_SIZE];
};

static inline bool is_before(struct rank a, struct rank b) {
  return a.high < b.high || (a.high == b.high && a.low < b.low);
}

static inline struct rank rank_of(const struct row *row, unsigned domain, unsigned client) {
  return (struct rank){
      .high = (uint64_t)row->tier << 32 | (uint64_t)domain << 16,
      .low = (uint64_t)client << 56 | (uint64_t)row->version << 40 | row->place,
  };
}

static inline bool is_for(const struct row *row, const struct search *search) {
  const struct route_question *question = search->question;
  return (!search->tls_matters || row->is_tls == question->is_tls) &&
         (row->versions == 0 || (row->versions & question->tls_versions) != 0);
}

/* The first whose rank is not before `bound`. */
static size_t lower_bound(const struct row *rows, size_t count, unsigned domain, unsigned client, struct rank bound) {
  size_t from = 0;
  while (from < count) {
    size_t middle = from + (count - from) / 2;
    if (is_before(rank_of(&rows[middle], domain, client), bound))
      from = middle + 1;
    else
      count = middle;
  }
  return from;
}

static void look_for_wanted(struct search *search, const struct row *rows, size_t count, unsigned domain,
                            unsigned client) {
  struct rank rank = rank_of(search->wanted, domain, client);
  if (!is_before(rank, search->best_rank))
    return;
  size_t at = lower_bound(rows, count, domain, client, rank);
  search->is_found = search->is_found || (at < count && rows[at].place == search->wanted->place);
}

/* A list that matches; all of it ranks alike by domain and client. */
static inline void consider(struct search *search, const struct row *rows, size_t count, unsigned domain,
                            unsigned client) {
  if (search->wanted) {
    look_for_wanted(search, rows, count, domain, client);
    return;
  }
  struct rank first = {search->after.high, search->after.low + 1};
  for (size_t i = count > 1 ? lower_bound(rows, count, domain, client, first) : 0; i < count; i++) {
    struct rank rank = rank_of(&rows[i], domain, client);
    if (!is_before(rank, search->best_rank))
      return;
    if (is_before(search->after, rank) && is_for(&rows[i], search)) {
      search->best = &rows[i];
      search->best_rank = rank;
      return;
    }
  }
}

static void consider_rules(struct search *search, const struct rules *rules, unsigned domain) {
  const struct ip_address *client = &search->question->client;
  consider(search, rules->any.rows, rules->any.count, domain, CLIENT_RANK_NONE);
  if (!client->is_set)
    return;
  if (rules->tree.count > 0) {
    uint32_t at = 0, list;
    unsigned bits;
    while ((list = prefix_tree_next(&rules->tree, &search->client, &at, &bits)) != PREFIX_NO_VALUE)
      consider(search, rules->lists[list].rows, rules->lists[list].count, domain, CLIENT_RANK_ALL - bits);
  }
  for (size_t i = 0; i < rules->sets.count; i++) {
    int bits = ip_set_specificity(rules->sets.rows[i].route->client_ips, client);
    if (bits >= 0)
      consider(search, &rules->sets.rows[i], 1, domain, CLIENT_RANK_ALL - (unsigned)bits);
  }
}

static inline void consider_record(struct search *search, const struct record *record) {
  if (record->has_rules)
    consider_rules(search, record->only.rules, record->rank);
  else
    consider(search, &record->only, 1, record->rank, CLIENT_RANK_NONE);
}

/* The first record of that key, or NULL. */
static inline const struct record *find(const struct route_index *index, enum record_kind kind, const char *key,
                                        size_t length) {
  uint64_t hash = text_hash(key, length, index->seed + kind);
  for (uint64_t at = hash & index->slot_mask; index->slots[at].record; at = (at + 1) & index->slot_mask) {
    if (index->slots[at].tag != (uint32_t)(hash >> 32))
      continue;
    const struct record *record = record_at(index, index->slots[at].record);
    if (record->kind == kind && record->key_length == length && memcmp(record_key(record), key, length) == 0)
      return record;
  }
  return NULL;
}

static void consider_key(struct search *search, enum record_kind kind, const char *key, size_t length) {
  const struct route_index *index = search->index;
  const struct record *record = find(index, kind, key, length);
  while (record) {
    if (record->is_matched || domain_matches(record->text, record->length, search->name, search->length))
      consider_record(search, record);
    record = record->only.next ? record_at(index, record->only.next) : NULL;
  }
}

/* Whole labels from the end and from the beginning, as far as there are keys so long. */
static void consider_labels(struct search *search) {
  const struct route_index *index = search->index;
  const char *name = search->name;
  for (size_t i = 0; i < search->length; i++) {
    if (name[i] != '.')
      continue;
    if (has_length(index->suffix_lengths, search->length - i))
      consider_key(search, RECORD_SUFFIX, name + i, search->length - i);
    if (has_length(index->prefix_lengths, i + 1))
      consider_key(search, RECORD_PREFIX, name, i + 1);
  }
}

static void look(struct search *search) {
  const struct route_index *index = search->index;
  if (search->length > 0) {
    const struct record *record = find(index, RECORD_NAME, search->name, search->length);
    if (record)
      consider_record(search, record);
    if (index->has_labels)
      consider_labels(search);
    for (size_t i = 0; i < index->other_count; i++) {
      record = record_at(index, index->others[i]);
      if (record->is_matched || domain_matches(record->text, record->length, search->name, search->length))
        consider_record(search, record);
    }
  }
  if (index->domainless)
    consider_rules(search, index->domainless, DOMAIN_RANK_NONE);
}

/* It matches by a better domain, or a better member of its client_ip, too: then it was the answer before. */
static bool was_there(struct search *search) {
  search->wanted = search->best;
  search->is_found = false;
  look(search);
  search->wanted = NULL;
  return search->is_found;
}

void route_choice_begin(struct route_choice *choice, const struct table_port *port) {
  *choice = (struct route_choice){.port = port};
}

struct route *route_choice_next(struct route_choice *choice, const struct route_question *question) {
  struct search search;
  search.index = choice->port->index;
  search.question = question;
  search.tls_matters = choice->port->has_tls;
  search.wanted = NULL;
  search.length = domain_normalize(search.name, question->domain, question->domain_length);
  if (question->client.is_set)
    search.client = prefix_of_address(&question->client);
  bool is_first = choice->high == 0 && choice->low == 0;
  do {
    search.after = (struct rank){choice->high, choice->low};
    search.best_rank = (struct rank){UINT64_MAX, UINT64_MAX};
    search.best = NULL;
    look(&search);
    choice->high = search.best_rank.high;
    choice->low = search.best_rank.low;
  } while (search.best && search.best->is_many && !is_first && was_there(&search));
  return search.best ? search.best->route : NULL;
}
