/* SPDX-License-Identifier: MIT
 *
 * The registry of route names: each name has a number, under which the workers count for it, and what its records share
 * (the cursor of its round robin, what it holds of its limits). Both outlive the route's content. A name that no table
 * has any more is gone: for an hour it is told as before, and a route that takes it again goes on where it was. Then,
 * or when too many are gone, it is removed; once no record of it is left either, and what was counted for it is folded,
 * its number is another name's. The control thread's. */
#pragma once

#include "core/clock.h"
#include "core/hash_table.h"
#include "core/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAMES_MAX = 262144, NAMES_GONE_MS = 3600 * 1000 };

struct name;
struct route;
struct route_table;
struct route_shared; /* routing/route.h */

struct names {
  struct name **by_number; /* [0] is METRIC_NO_ROUTE, "(none)"; NULL: nobody's */
  size_t count, room;      /* numbers that have been given out once, those that are nobody's included */
  unsigned *free;          /* a ring of those: the one that has been nobody's for longest goes first */
  size_t free_at, free_count;
  struct hash_table by_text;      /* those that are not removed */
  struct list_node live, removed; /* in the order of their coming */
  struct list_node gone;          /* in the order of their going */
  size_t removed_count, gone_count;
  size_t gone_most;                   /* 0 at first: the owner's to set */
  const struct route_table *retained; /* that of the last names_retain(), for comparing only */
  unsigned round;                     /* counts those calls */
  uint32_t last_scope;
};

/* 0 or -ENOMEM. */
int names_init(struct names *names);
void names_deinit(struct names *names);

/* The names of the table's routes stay, and come back where they were gone; the others are gone, or removed when they
 * have never been of a table. Of the gone ones `gone_most` stay, those that went last. `before` (NULL: none) is the
 * table that it takes the place of: when it is that of the last call, only what differs is gone through, and what has
 * been named since. */
void names_retain(struct names *names, const struct route_table *before, const struct route_table *table, clock_ms at);

/* Removes those that have been gone for NAMES_GONE_MS: what was counted for them is told as "(removed)" from now on,
 * and a route that takes such a name begins anew. When it has to be called next; CLOCK_NEVER: nothing is gone. */
clock_ms names_expire(struct names *names, clock_ms now);

/* Was it removed? Then its text is "(removed)". */
bool names_is_removed(const struct names *names, unsigned number);

/* A name's number, which it is given when it is new; while there are NAMES_MAX, that of "(none)", for counting alone.
 * `shared` (may be NULL) gets a reference for a record of the name, which keeps its number until all are gone. Without
 * memory it is "(none)"'s. */
unsigned names_number(struct names *names, const char *text, struct route_shared **shared);

/* A record that has been numbered, and may not have gone live before its name was removed: then it is numbered anew. */
void names_renew(struct names *names, struct route *route);

/* "(none)" for 0. `number` is below names->count. */
const char *names_text(const struct names *names, unsigned number);

/* Looks at *left removed names at most, and counts them down; forgets those of which no record is left and that have no
 * number, and writes `most` numbers at most of the others down. They are nobody's only after names_free(). How many. */
size_t names_forget(struct names *names, size_t *left, unsigned *numbers, size_t most);

/* All that was counted under these numbers is folded. */
void names_free(struct names *names, const unsigned *numbers, size_t count);

/* Calls back for each name that is not removed, in the order of their coming, the first is "(none)". */
typedef void names_each_fn(void *context, unsigned number, const char *text);
void names_each(const struct names *names, names_each_fn *each, void *context);

/* The name by the scope of its limits; NULL: it has gone. Sorted by scope, malloc'ed, for many of them: */
struct name_scope {
  uint32_t scope;
  const char *text;
};
struct name_scope *names_scopes(const struct names *names, size_t *count); /* NULL without memory */
const char *name_scope_text(const struct name_scope *scopes, size_t count, uint32_t scope);
