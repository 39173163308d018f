/* SPDX-License-Identifier: MIT
 *
 * Records of which a question means some: those that pass its clauses are counted, and the first of them in its order
 * are kept, for a page. Who goes through a million never has more than the page and what comes before it. */
#pragma once

#include "core/error.h"
#include "script/record.h"
#include "script/value.h"

#include <stdbool.h>
#include <stddef.h>

enum {
  SELECTION_MOST = 131072, /* limit and offset together */
  SELECTION_CLAUSES = 16,
  SELECTION_IDS = 1024, /* of a clause */
};

struct clause;

/* Of a question; not changed once it is made, so that many may go by it at once. */
struct selection_query {
  const struct record_type *type;
  struct clause *clauses; /* those that cost least first */
  size_t clause_count;
  const struct record_field *order; /* NULL: by the first two fields */
  bool descending;
  size_t limit, offset;
};

/* What the arguments say: { where = { state = "routing", ["age>="] = 60, ["domain~"] = "*.org", client = "10.0.0.0/8",
 * id = "1-7,1-9" }, sort = "age", descending = true, limit = 100, offset = 0 }. A text, a number or a flag stands for
 * itself, ">=" for as much or more, "~" for a glob; seconds for times; addresses lie in sets (net/ip_set.h), and so do
 * ids in lists. 0, or -EINVAL or -ENOMEM and `error`. selection_query_deinit() in either case. */
int selection_query_init(struct selection_query *query, const struct record_type *type, const struct value *arguments,
                         struct error *error);
void selection_query_deinit(struct selection_query *query);

/* Does the clause of ids name one of that worker? True when there is none. */
bool selection_query_concerns(const struct selection_query *query, unsigned worker);

/* What has been found; zeroed at first. */
struct selection {
  void **records; /* those that are kept: a heap whose top comes last; from `heap` on sorted */
  size_t count, heap, room;
  size_t matched;
  bool failed;    /* no memory for all that should be kept */
  bool completed; /* the record that was looked at last has what is costly */
};

void selection_clear(struct selection *selection);

/* Does the record pass? Fills what is costly of it from `source` as soon as it is needed. */
bool selection_passes(struct selection *selection, const struct selection_query *query, void *record,
                      const void *source);

/* Counts it when it passes, and keeps a copy if it is among the first. */
void selection_take(struct selection *selection, const struct selection_query *query, void *record, const void *source);

/* Sorts `most` of them; false: there are more. After the last was taken. */
bool selection_sort(struct selection *selection, const struct selection_query *query, size_t most);

/* The page of sorted selections, in order: records that are no longer theirs, in an array that is malloc'ed; NULL
 * without memory. */
void **selections_merge(struct selection *const *selections, size_t count, const struct selection_query *query,
                        size_t *found);
