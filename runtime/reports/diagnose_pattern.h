/* SPDX-License-Identifier: MIT
 *
 * The named patterns in which connections pile up, for a snapshot: what is looked for by name at three in the morning.
 * A connection may show several. What ends one is the business of connection/class.h and the timeouts. */
#pragma once

#include "reports/connections.h"

enum diagnose_pattern {
  PATTERN_ZOMBIE,           /* "zombie": both sides are over, and the record is still there */
  PATTERN_HALF_ZOMBIE,      /* "half_zombie": one side has ended, and no byte moves (the class half_dead) */
  PATTERN_STUCK_CONNECTING, /* "stuck_connecting": no target has answered yet */
  PATTERN_NO_OUTGOING,      /* "no_outgoing": it has no target yet, and nobody is choosing one: it has no route */
  PATTERN_FUNCTION,         /* "function": it waits for a function of a route (when, authorize, a target's) */
  PATTERN_STUCK,            /* "stuck": the target took it and has never answered what the client sent */
  PATTERN_KEEP_ALIVE_STUCK, /* "keep_alive_stuck": quiet for diagnose.old, and kept by its keep_alive treatment */
  PATTERN_OLD,              /* "old": older than diagnose.old */
  PATTERN_NO_DATA,          /* "no_data": forwarded or handled for a while, and no byte has come either way */
  PATTERN_SILENT,           /* "silent": a peer has been sent something, and nothing comes back (the class silent) */
  PATTERN_UNREAD,           /* "unread": a peer has been sent something and has not taken it, and no byte moves */
  PATTERN_COUNT
};

enum {
  PATTERN_ZOMBIE_MS = 5 * 1000, /* over for so long: nothing takes that long to be cleaned up */
  PATTERN_QUIET_MS = 10 * 1000, /* from when on no_outgoing, function, no_data and unread are worth a look */
};

const char *diagnose_pattern_label(enum diagnose_pattern pattern);

/* Whether it shows the pattern; `*since`: for how long, in ms. `old_ms`: diagnose.old; 0: nothing is old. */
bool diagnose_pattern_shows(enum diagnose_pattern pattern, const struct connection_entry *entry, uint64_t old_ms,
                            uint64_t *since);
