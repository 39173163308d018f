/* SPDX-License-Identifier: MIT
 *
 * A question that is answered with a page of records: its question begins with a struct selection_query, and what each
 * that is asked answers with a struct selection. */
#pragma once

#include "reports/selection.h"
#include "threads/ask.h"

/* A question of `size`, zeroed but for its query, which is what the arguments say. NULL: `call` has been refused. */
void *listing_new(size_t size, const struct record_type *type, const struct value *arguments, struct native_call *call);

/* For a struct ask_kind. */
void listing_free(void *question);
void listing_clear(void *answer);
bool listing_concerns(const void *question, unsigned worker);

enum { LISTING_SORTED_AT_ONCE = 512 };

/* Sorts a stretch of what a part has found; true: there is more. */
static inline bool listing_sort(struct ask_part *part) {
  return !selection_sort(part->answer, part->ask->question, LISTING_SORTED_AT_ONCE);
}

/* Writes root.total and root.complete, and returns the page, which becomes the caller's: `*count` records, each
 * malloc'ed, as their array is. NULL and 0 without memory. */
void **listing_page(struct ask *ask, struct value *root, size_t *count);
