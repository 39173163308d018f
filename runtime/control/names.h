/* SPDX-License-Identifier: MIT
 *
 * The registry of route names: each name has a number, under which the workers count for it, and a cursor for its round
 * robin. Both outlive the route's content, and are never given to another name. The control thread's. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { NAMES_MAX = 262144 };

struct name;

struct names {
  struct name **by_number; /* [0] is METRIC_NO_ROUTE, "(none)" */
  size_t count;
  struct name **slots; /* by hash, open addressing */
  size_t slot_count;
};

/* 0 or -ENOMEM. */
int names_init(struct names *names);
void names_deinit(struct names *names);

/* The names of the table's routes stay; the others are removed: what was counted for them is told as "(removed)", and a
 * route that takes such a name again begins anew. */
struct route_table;
struct route_shared; /* routing/route.h */
void names_retain(struct names *names, const struct route_table *table);

/* Was it removed? Then its text is "(removed)". */
bool names_is_removed(const struct names *names, unsigned number);

/* A name's number, which it is given when it is new. Past NAMES_MAX names, or without memory, it is that of "(none)".
 * `shared` (may be NULL) lives as long as the registry. */
unsigned names_number(struct names *names, const char *text, struct route_shared **shared);

/* "(none)" for 0. `number` is below names->count. */
const char *names_text(const struct names *names, unsigned number);
