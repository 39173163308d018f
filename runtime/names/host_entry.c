/* SPDX-License-Identifier: MIT
 *
 * Ageing, and what an answer changes. Good addresses are replaced by good ones, or by "there is none" heard twice; a
 * failure only puts off when it is asked again. */
#include "names/host_entry.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
  FIRST_PAUSE_MS = 1000, /* after a failure; doubled with each further one */
  LONGEST_PAUSE_MS = 30 * 1000,
  LONGEST_PAUSE_WITHOUT_MS = 5 * 1000, /* … of a name without addresses, whose clients are refused meanwhile */
  ABSENT_AGAIN_MS = 5 * 1000,          /* "there is none" has to be heard twice, so far apart */
  CLAIM_MS = 15 * 1000,                /* longer than asking takes, mostly */
};

struct host_entry *host_entry_new(const char *name, size_t size) {
  struct host_entry *entry = calloc(1, sizeof *entry + size + 1);
  if (!entry)
    return NULL;
  memcpy(entry->name, name, size);
  entry->size = size;
  list_init(&entry->order);
  list_init(&entry->stale);
  return entry;
}

void host_entry_free(struct host_entry *entry) {
  for (size_t i = 0; i < HOST_FAMILIES; i++)
    free(entry->sides[i].addresses);
  free(entry->addresses);
  free(entry);
}

static bool is_asked(const struct host_table_options *options, size_t family) { return options->asks & (1u << family); }

static void endpoint_of(struct endpoint *endpoint, const union host_address *address) {
  memset(endpoint, 0, sizeof *endpoint);
  endpoint->length = address->sockaddr.sa_family == AF_INET ? sizeof address->in : sizeof address->in6;
  memcpy(&endpoint->storage, address, endpoint->length);
}

/* Families alternate (RFC 8305 section 4). */
static unsigned alternate_families(struct endpoint *endpoints, const union host_address *ipv6, unsigned ipv6_count,
                                   const union host_address *ipv4, unsigned ipv4_count) {
  unsigned count = 0;
  for (unsigned i = 0; i < ipv6_count || i < ipv4_count; i++) {
    if (i < ipv6_count && count < RESOLVE_MAX_ADDRESSES)
      endpoint_of(&endpoints[count++], &ipv6[i]);
    if (i < ipv4_count && count < RESOLVE_MAX_ADDRESSES)
      endpoint_of(&endpoints[count++], &ipv4[i]);
  }
  return count;
}

/* The list of both families, after one of them has changed. 0 or -ENOMEM, when it is as it was. */
static int entry_merge(struct host_entry *entry, enum host_family family, union host_address *addresses,
                       unsigned count) {
  struct host_side sides[HOST_FAMILIES];
  memcpy(sides, entry->sides, sizeof sides);
  sides[family].addresses = addresses;
  sides[family].count = count;
  unsigned both = sides[HOST_IPV6].count + sides[HOST_IPV4].count;
  both = both < RESOLVE_MAX_ADDRESSES ? both : RESOLVE_MAX_ADDRESSES;
  struct endpoint *endpoints = both > 0 ? malloc(both * sizeof *endpoints) : NULL;
  if (both > 0 && !endpoints)
    return -ENOMEM;
  entry->count = 0;
  if (endpoints)
    entry->count = alternate_families(endpoints, sides[HOST_IPV6].addresses, sides[HOST_IPV6].count,
                                      sides[HOST_IPV4].addresses, sides[HOST_IPV4].count);
  free(entry->addresses);
  entry->addresses = endpoints;
  if (entry->sides[family].addresses != addresses)
    free(entry->sides[family].addresses);
  entry->sides[family].addresses = addresses;
  entry->sides[family].count = count;
  return 0;
}

static void drop_addresses(struct host_entry *entry, enum host_family family) {
  entry->sides[family].absent_since = 0;
  if (entry->sides[family].count > 0 && entry_merge(entry, family, NULL, 0) != 0)
    entry->sides[family].expires = 0; /* without memory: they are expired, and the next look drops them */
}

/* Until when the list serves without a look. */
static void settle_entry(struct host_entry *entry, const struct host_table_options *options) {
  entry->quiet_until = entry->count > 0 ? CLOCK_NEVER : 0;
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    const struct host_side *side = &entry->sides[i];
    if (!is_asked(options, i))
      continue;
    clock_ms look = side->next_ask > side->claimed ? side->next_ask : side->claimed;
    if (side->count > 0 && side->expires < look)
      look = side->expires;
    if (look < entry->quiet_until)
      entry->quiet_until = look;
  }
}

static bool side_is_due(const struct host_side *side, clock_ms now) {
  return now >= side->next_ask && now >= side->claimed;
}

unsigned host_entry_claim(struct host_entry *entry, const struct host_table_options *options, clock_ms now) {
  unsigned ask = 0;
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    if (!is_asked(options, i) || !side_is_due(&entry->sides[i], now))
      continue;
    entry->sides[i].claimed = now + CLAIM_MS;
    ask |= 1u << i;
  }
  if (ask)
    entry->used_since = false;
  settle_entry(entry, options);
  return ask;
}

unsigned host_entry_claim_all(struct host_entry *entry, const struct host_table_options *options, clock_ms now) {
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    if (is_asked(options, i) && now >= entry->sides[i].claimed)
      entry->sides[i].claimed = now + CLAIM_MS;
  }
  entry->used_since = false;
  settle_entry(entry, options);
  return options->asks;
}

bool host_entry_is_claimed(const struct host_entry *entry, clock_ms now) {
  return now < entry->sides[HOST_IPV6].claimed || now < entry->sides[HOST_IPV4].claimed;
}

/* Has it been asked for so long that the answer is not worth another wait? */
static bool is_late(const struct host_side *side, clock_ms now) {
  return now < side->claimed && now + CLAIM_MS >= side->claimed + HOST_EXPIRED_WAIT_MS;
}

static enum host_state look_without_addresses(const struct host_entry *entry, const struct host_table_options *options,
                                              clock_ms now) {
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    if (is_asked(options, i) && now >= entry->sides[i].next_ask)
      return HOST_UNKNOWN;
  }
  return HOST_FAILED;
}

enum host_state host_entry_look(struct host_entry *entry, const struct host_table_options *options, clock_ms now,
                                unsigned *ask) {
  bool is_fresh = false, is_failing = false;
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    struct host_side *side = &entry->sides[i];
    if (side->count > 0 && now >= side->expires + options->stale_ms)
      drop_addresses(entry, (enum host_family)i);
    is_fresh |= side->count > 0 && now < side->expires;
    is_failing |= side->count > 0 && (side->status != 0 || is_late(side, now));
  }
  if (entry->count == 0)
    return look_without_addresses(entry, options, now);
  if (is_fresh || is_failing) {
    if (ask)
      *ask = host_entry_claim(entry, options, now);
    return HOST_KNOWN;
  }
  if (ask)
    *ask = host_entry_claim_all(entry, options, now);
  return HOST_EXPIRED;
}

int host_entry_status(const struct host_entry *entry, const struct host_table_options *options) {
  int status = -ENOENT;
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    if (is_asked(options, i) && entry->sides[i].status != 0 && entry->sides[i].status != -ENOENT)
      status = entry->sides[i].status;
  }
  return status;
}

void host_entry_forgive(struct host_entry *entry, clock_ms now) {
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    struct host_side *side = &entry->sides[i];
    if (side->status != 0 && side->next_ask > now) {
      side->next_ask = now;
      side->failures = 0;
    }
  }
  entry->quiet_until = 0;
}

clock_ms host_entry_next(const struct host_entry *entry, const struct host_table_options *options) {
  clock_ms next = CLOCK_NEVER;
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    const struct host_side *side = &entry->sides[i];
    clock_ms due = side->next_ask > side->claimed ? side->next_ask : side->claimed;
    if (is_asked(options, i) && due < next)
      next = due;
  }
  return entry->count > 0 ? next : 0;
}

static bool address_is(const union host_address *a, const union host_address *b) {
  if (a->sockaddr.sa_family != b->sockaddr.sa_family)
    return false;
  return a->sockaddr.sa_family == AF_INET ? a->in.sin_addr.s_addr == b->in.sin_addr.s_addr
                                          : memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

static bool has_address(const union host_address *addresses, unsigned count, const union host_address *address) {
  for (unsigned i = 0; i < count; i++) {
    if (address_is(&addresses[i], address))
      return true;
  }
  return false;
}

/* Those that are known stay where they are, the new ones follow. At most RESOLVE_MAX_ADDRESSES of each. */
static unsigned keep_order(union host_address *ordered, const struct host_side *side,
                           const struct host_answer *answer) {
  unsigned count = 0;
  for (unsigned i = 0; i < side->count; i++) {
    if (has_address(answer->addresses, answer->count, &side->addresses[i]))
      ordered[count++] = side->addresses[i];
  }
  for (unsigned i = 0; i < answer->count; i++) {
    if (!has_address(ordered, count, &answer->addresses[i]))
      ordered[count++] = answer->addresses[i];
  }
  return count;
}

static bool is_as_it_was(const struct host_side *side, const union host_address *addresses, unsigned count) {
  for (unsigned i = 0; i < count && i < side->count; i++) {
    if (!address_is(&side->addresses[i], &addresses[i]))
      return false;
  }
  return side->count == count;
}

static int note_found(struct host_entry *entry, const struct host_table_options *options,
                      const struct host_answer *answer, clock_ms now) {
  struct host_side *side = &entry->sides[answer->family];
  struct host_side *other = &entry->sides[answer->family == HOST_IPV6 ? HOST_IPV4 : HOST_IPV6];
  union host_address ordered[RESOLVE_MAX_ADDRESSES];
  unsigned count = keep_order(ordered, side, answer);
  if (!is_as_it_was(side, ordered, count)) {
    union host_address *addresses = malloc(count * sizeof *addresses);
    if (!addresses)
      return -ENOMEM;
    memcpy(addresses, ordered, count * sizeof *addresses);
    if (entry_merge(entry, answer->family, addresses, count) != 0) {
      free(addresses);
      return -ENOMEM;
    }
  }
  uint64_t ttl = answer->ttl_ms < options->min_ttl_ms ? options->min_ttl_ms : answer->ttl_ms;
  ttl = ttl > options->max_ttl_ms ? options->max_ttl_ms : ttl;
  side->status = 0;
  side->failures = 0;
  side->absent_since = 0;
  side->expires = now + ttl;
  side->next_ask = now + ttl - ttl / 10; /* before they expire, so that nobody waits */
  if (other->status == -ENOENT && other->count == 0)
    other->next_ask = side->next_ask; /* a family that the name does not have is asked for with the one that it has */
  return 0;
}

static clock_ms pause_of(const struct host_side *side, uint64_t longest) {
  unsigned doublings = side->failures < 16 ? side->failures : 16;
  uint64_t pause = (uint64_t)FIRST_PAUSE_MS << (doublings > 0 ? doublings - 1 : 0);
  return pause < longest ? pause : longest;
}

/* Whether there are addresses of the other family, whose servers answer. */
static bool other_is_well(const struct host_side *other, clock_ms now) {
  return other->count > 0 && other->status == 0 && now < other->expires;
}

static void note_absent(struct host_entry *entry, const struct host_answer *answer, clock_ms now) {
  struct host_side *side = &entry->sides[answer->family];
  const struct host_side *other = &entry->sides[answer->family == HOST_IPV6 ? HOST_IPV4 : HOST_IPV6];
  if (side->count > 0 && side->absent_since == 0)
    side->absent_since = now;
  side->status = answer->status;
  side->failures++;
  if (side->count > 0 && now - side->absent_since < ABSENT_AGAIN_MS) {
    side->next_ask = side->absent_since + ABSENT_AGAIN_MS;
    return;
  }
  if (side->count > 0)
    side->failures = 1;
  drop_addresses(entry, answer->family);
  side->next_ask = other_is_well(other, now) ? other->next_ask : now + pause_of(side, LONGEST_PAUSE_WITHOUT_MS);
}

int host_entry_note(struct host_entry *entry, const struct host_table_options *options,
                    const struct host_answer *answer, clock_ms now) {
  struct host_side *side = &entry->sides[answer->family];
  int status = 0;
  side->claimed = 0;
  if (answer->status == 0) {
    status = note_found(entry, options, answer, now);
  } else if (answer->status == -ENOENT) {
    note_absent(entry, answer, now);
  } else if (answer->status != -ENOMEM) {
    side->status = answer->status;
    side->failures++;
    side->next_ask = now + pause_of(side, entry->count > 0 ? LONGEST_PAUSE_MS : LONGEST_PAUSE_WITHOUT_MS);
  }
  settle_entry(entry, options);
  return status;
}

bool host_entry_is_failing(const struct host_entry *entry, const struct host_table_options *options, clock_ms now,
                           struct host_report *report) {
  bool is_failing = false;
  for (size_t i = 0; i < HOST_FAMILIES; i++) {
    const struct host_side *side = &entry->sides[i];
    if (side->count == 0 || side->status == 0 || now < side->expires)
      continue;
    clock_ms end = side->expires + options->stale_ms;
    report->status = side->status;
    report->stale_ms = now - side->expires;
    report->left_ms = end > now ? end - now : 0;
    report->addresses = side->count;
    is_failing = true;
  }
  return is_failing;
}
