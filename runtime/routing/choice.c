/* SPDX-License-Identifier: MIT
 *
 * Asking the index: all lists of routes that match are looked at for the best that ranks behind the one before. So the
 * walk has no state but a rank, and may stop for as long as a `when` takes. */
#include "routing/choice.h"

#include "core/text.h"
#include "routing/index.h"

#include <string.h>

/* Something of the name that a domain may be found by. */
struct key {
  uint64_t fingerprint, bucket;
};

enum { MAX_KEYS = 16 }; /* those looked up at once */

struct search {
  const struct route_index *index;
  const struct route_question *question;
  bool tls_matters;
  size_t length;
  bool has_client;
  struct prefix client; /* once a list has asked for it */
  struct rank after, best_rank;
  struct row best;          /* route NULL: none */
  const struct row *wanted; /* not NULL: is it there before best_rank? */
  bool is_found;
  size_t key_count;
  struct key keys[MAX_KEYS];
  char name[DOMAIN_SIZE];
};

static inline bool is_for(const struct row *row, const struct search *search) {
  const struct route_question *question = search->question;
  return row_takes_tls(row, search->tls_matters, question->is_tls) && row_takes_version(row, question->tls_versions);
}

/* The first whose rank is not before `bound`. */
static size_t lower_bound(const struct row *rows, size_t count, unsigned domain, unsigned client, struct rank bound) {
  size_t from = 0;
  while (from < count) {
    size_t middle = from + (count - from) / 2;
    if (rank_is_before(choice_rank(&rows[middle], domain, client), bound))
      from = middle + 1;
    else
      count = middle;
  }
  return from;
}

static void look_for_wanted(struct search *search, const struct row *rows, size_t count, unsigned domain,
                            unsigned client) {
  struct rank rank = choice_rank(search->wanted, domain, client);
  if (!rank_is_before(rank, search->best_rank))
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
    struct rank rank = choice_rank(&rows[i], domain, client);
    if (!rank_is_before(rank, search->best_rank))
      return;
    if (rank_is_before(search->after, rank) && is_for(&rows[i], search)) {
      search->best = rows[i];
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
    if (!search->has_client)
      search->client = prefix_of_address(client);
    search->has_client = true;
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

/* As consider() does, of the one route of a domain. Its route is fetched while we go on. */
static inline void consider_simple(struct search *search, const struct trait *trait, uint32_t place) {
  const struct row *row = &trait->row;
  struct rank rank = choice_rank(row, trait->rank, CLIENT_RANK_NONE);
  rank.low |= place;
  if (!rank_is_before(rank, search->best_rank))
    return;
  if (search->wanted) {
    search->is_found = search->is_found || place == search->wanted->place;
  } else if (rank_is_before(search->after, rank) && is_for(row, search)) {
    search->best.route = search->index->routes[place];
    search->best.place = place;
    search->best.tier = row->tier;
    search->best.version = row->version;
    search->best.is_many = row->is_many;
    search->best_rank = rank;
  }
}

static void consider_record(struct search *search, const struct record *record) {
  if (record->kind > KEY_PREFIX && !domain_matches(record->text, record->length, search->name, search->length))
    return;
  if (record->rules)
    consider_rules(search, record->rules, record->rank);
  else
    consider(search, &record->only, 1, record->rank, CLIENT_RANK_NONE);
}

static inline void consider_entry(struct search *search, const struct entry *entry) {
  const struct route_index *index = search->index;
  if (entry->trait != ENTRY_RECORD) {
    consider_simple(search, &index->traits[entry->trait], entry->number);
    return;
  }
  for (uint32_t number = entry->number; number;) {
    const struct record *record = record_at(index, number);
    consider_record(search, record);
    number = record->next;
  }
}

/* All of a bucket are compared before it is asked which it was: the processor could not guess that. */
static inline const struct entry *choice_find(const struct route_index *index, const struct key *key) {
  for (uint64_t at = key->bucket;; at = at + 1 < index->bucket_count ? at + 1 : 0) {
    const struct entry *entries = index->buckets[at].entries;
    unsigned found = 0;
    for (unsigned i = 0; i < BUCKET_ENTRIES; i++)
      found |= (unsigned)(entries[i].fingerprint == key->fingerprint && entries[i].trait != ENTRY_FREE) << i;
    if (found)
      return &entries[__builtin_ctz(found)];
    if (entries[BUCKET_ENTRIES - 1].trait == ENTRY_FREE)
      return NULL;
  }
}

static void consider_keys(struct search *search) {
  for (size_t i = 0; i < search->key_count; i++) {
    const struct entry *entry = choice_find(search->index, &search->keys[i]);
    if (entry)
      consider_entry(search, entry);
  }
  search->key_count = 0;
}

/* Its memory is on the way while the next key is made. */
static inline void add_key(struct search *search, enum key_kind kind, const char *key, size_t length) {
  const struct route_index *index = search->index;
  if (kind != KEY_NAME && !has_length(index->key_lengths[kind], length))
    return;
  if (search->key_count == MAX_KEYS)
    consider_keys(search);
  struct key *made = &search->keys[search->key_count++];
  made->bucket = bucket_of(index, text_hash_wide(key, length, index->seed + kind, &made->fingerprint));
  __builtin_prefetch(&index->buckets[made->bucket]);
}

/* Whole labels from the end and from the beginning, as far as there are keys so long. */
static void add_labels(struct search *search) {
  const char *name = search->name;
  for (size_t i = 0; i < search->length; i++) {
    if (name[i] != '.')
      continue;
    add_key(search, KEY_SUFFIX, name + i, search->length - i);
    add_key(search, KEY_PART_SUFFIX, name + i, search->length - i);
    add_key(search, KEY_PREFIX, name, i + 1);
    add_key(search, KEY_PART_PREFIX, name, i + 1);
  }
}

static void choice_look(struct search *search) {
  const struct route_index *index = search->index;
  if (search->length > 0) {
    add_key(search, KEY_NAME, search->name, search->length);
    if (index->has_labels)
      add_labels(search);
    consider_keys(search);
    for (size_t i = 0; i < index->other_count; i++)
      consider_record(search, record_at(index, index->others[i]));
  }
  if (index->domainless)
    consider_rules(search, index->domainless, DOMAIN_RANK_NONE);
}

/* It matches by a better domain, or a better member of its client_ip, too: then it was the answer before. */
static bool was_there(struct search *search) {
  struct row wanted = search->best;
  search->wanted = &wanted;
  search->is_found = false;
  choice_look(search);
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
  search.has_client = false;
  search.key_count = 0;
  search.length = domain_normalize(search.name, question->domain, question->domain_length);
  bool is_first = choice->high == 0 && choice->low == 0;
  do {
    search.after = (struct rank){choice->high, choice->low};
    search.best_rank = (struct rank){UINT64_MAX, UINT64_MAX};
    search.best.route = NULL;
    choice_look(&search);
    choice->high = search.best_rank.high;
    choice->low = search.best_rank.low;
  } while (search.best.route && search.best.is_many && !is_first && was_there(&search));
  return search.best.route;
}
