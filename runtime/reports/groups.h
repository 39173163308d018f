/* SPDX-License-Identifier: MIT
 *
 * Connections counted by what they have in common: each worker goes through its own in stretches and counts them in
 * groups, so that of a million of them no more than the largest groups, and a few examples, ever come together. Which
 * ones are counted, and by what, is the question's to say (lua/moongate/diagnose/patterns.lua). */
#pragma once

#include "core/hash_table.h"
#include "reports/selection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct instance;
struct native_call;

enum {
  GROUPINGS_MOST = 32, /* of a question */
  GROUP_WAYS = 6,      /* of counting those of one grouping */
  GROUP_FIELDS = 2,    /* of a way */
  GROUPS_MOST = 8192,  /* that one worker keeps of a way, and no more of a flood of new ones */
  GROUPS_SENT = 64,    /* of them, the largest */
  GROUPS_TOLD = 10,
};

/* Those with the same values of these fields are one group. */
struct group_way {
  const char *name; /* "waits.route waits.function", as the question has it */
  const struct record_field *fields[GROUP_FIELDS];
};

struct group {
  struct hash_node node;
  size_t count;
  void *oldest; /* the record in it with the most of the grouping's order */
};

/* Zeroed at first. */
struct group_table {
  struct hash_table table;
  struct group **groups;
  size_t count;
};

/* Counts a record in its group; one without a text that the way asks for is in none. False without memory. */
bool group_table_count(struct group_table *table, const struct group_way *way, const struct record_type *type,
                       const struct record_field *order, const void *record);

/* Takes the groups of another over, whose records are freed or handed on. False without memory. */
bool group_table_merge(struct group_table *table, struct group_table *other, const struct group_way *way,
                       const struct record_field *order);

/* The largest `most` of them, those first, equals in the order of the way (NULL: as they come); the others go. */
void group_table_cut(struct group_table *table, const struct group_way *way, size_t most);

void group_table_clear(struct group_table *table);

/* The question "groups": a list of { name =, where =, sort = "age", descending = true, limit = 20, by = { "route", … }
 * }, all but `name` and `by` as selection_query_init() has them; by `sort`, which is a time, one is older than another.
 * Answers { time =, complete =, workers =, groupings = { [name] = { count =, oldest =, examples =, by = { [way] =
 * groups } } }
 * }; of a way the largest groups, each a row with its count, since when it is, and what is told of its oldest. */
void groups_ask(struct instance *instance, const struct value *arguments, struct native_call *call);
