/* SPDX-License-Identifier: MIT
 *
 * The patterns, by what a worker has told of a connection. */
#include "reports/diagnose_pattern.h"

const char *diagnose_pattern_label(enum diagnose_pattern pattern) {
  static const char *const labels[] = {
      [PATTERN_ZOMBIE] = "zombie",
      [PATTERN_HALF_ZOMBIE] = "half_zombie",
      [PATTERN_STUCK_CONNECTING] = "stuck_connecting",
      [PATTERN_NO_OUTGOING] = "no_outgoing",
      [PATTERN_FUNCTION] = "function",
      [PATTERN_STUCK] = "stuck",
      [PATTERN_KEEP_ALIVE_STUCK] = "keep_alive_stuck",
      [PATTERN_OLD] = "old",
      [PATTERN_NO_DATA] = "no_data",
      [PATTERN_SILENT] = "silent",
      [PATTERN_UNREAD] = "unread",
  };
  _Static_assert(sizeof labels / sizeof labels[0] == PATTERN_COUNT, "a label for each pattern");
  return labels[pattern];
}

/* One that is closing has a time of its own, which progress moves; any other that both sides have left is closed in
 * the same event. */
static bool is_zombie(const struct connection_entry *entry, uint64_t *since) {
  bool both = entry->ended == ((1 << PIPE_CLIENT) | (1 << PIPE_TARGET));
  *since = entry->state == CONNECTION_CLOSING ? entry->overdue : both ? entry->idle : 0;
  return *since >= PATTERN_ZOMBIE_MS;
}

static bool is_of_class(const struct connection_entry *entry, enum connection_class class, uint64_t *since) {
  *since = entry->finding.since;
  return entry->suspect && entry->finding.class == class;
}

static bool is_kept(const struct connection_entry *entry, uint64_t old_ms, uint64_t *since) {
  *since = entry->idle;
  return old_ms > 0 && entry->idle >= old_ms && entry->route && entry->treatment != KEEP_ALIVE_STANDARD;
}

static bool waits_for_function(const struct connection_entry *entry, uint64_t *since) {
  *since = entry->waits.function ? entry->waits.since : 0;
  return entry->waits.function && *since >= PATTERN_QUIET_MS;
}

static bool has_no_data(const struct connection_entry *entry, uint64_t *since) {
  bool joined = entry->state == CONNECTION_FORWARDING || entry->state == CONNECTION_HANDLING;
  *since = entry->age;
  return joined && entry->bytes.in + entry->bytes.out == 0 && entry->age >= PATTERN_QUIET_MS;
}

static bool is_unread(const struct connection_entry *entry, uint64_t *since) {
  bool joined = entry->state == CONNECTION_FORWARDING || entry->state == CONNECTION_HANDLING;
  *since = entry->idle;
  return joined && entry->unsent[PIPE_CLIENT] + entry->unsent[PIPE_TARGET] > 0 && entry->idle >= PATTERN_QUIET_MS;
}

bool diagnose_pattern_shows(enum diagnose_pattern pattern, const struct connection_entry *entry, uint64_t old_ms,
                            uint64_t *since) {
  *since = entry->age;
  switch (pattern) {
  case PATTERN_ZOMBIE:
    return is_zombie(entry, since);
  case PATTERN_HALF_ZOMBIE:
    return is_of_class(entry, CONNECTION_HALF_DEAD, since);
  case PATTERN_STUCK_CONNECTING:
    return !entry->waits.function && is_of_class(entry, CONNECTION_SLOW_CONNECT, since);
  case PATTERN_NO_OUTGOING:
    return !entry->waits.function && entry->state == CONNECTION_ROUTING && entry->age >= PATTERN_QUIET_MS;
  case PATTERN_FUNCTION:
    return waits_for_function(entry, since);
  case PATTERN_STUCK:
    return is_of_class(entry, CONNECTION_STUCK, since);
  case PATTERN_KEEP_ALIVE_STUCK:
    return is_kept(entry, old_ms, since);
  case PATTERN_OLD:
    return old_ms > 0 && entry->age >= old_ms;
  case PATTERN_NO_DATA:
    return has_no_data(entry, since);
  case PATTERN_SILENT:
    return is_of_class(entry, CONNECTION_SILENT, since);
  case PATTERN_UNREAD:
    return is_unread(entry, since);
  case PATTERN_COUNT:
    break;
  }
  return false;
}
