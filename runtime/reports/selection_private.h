/* SPDX-License-Identifier: MIT
 *
 * A clause of a question, as selection_query.c has read it. */
#pragma once

#include "reports/selection.h"

enum clause_test { CLAUSE_IS, CLAUSE_LIKE, CLAUSE_AT_LEAST, CLAUSE_WITHIN, CLAUSE_ONE_OF };

struct ip_set;

struct clause {
  const struct record_field *field;
  enum clause_test test;
  char *text; /* to be, or to be like */
  uint64_t number;
  struct ip_set *addresses;
  struct record_id *ids; /* sorted */
  size_t id_count;
};

bool clause_passes(const struct clause *clause, const void *record);
